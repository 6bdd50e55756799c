#ifndef KO_BENCHMARKS_REPORTING_RUN_PROGRAM_H_
#define KO_BENCHMARKS_REPORTING_RUN_PROGRAM_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ko::benchmarks {

// What a program prints that is given `input`. Errors: those of Exec; Internal where it does not exit with 0, with what it
// prints as errors. It runs on the processors `cpus` alone, or on all of this process's.
absl::StatusOr<std::string> RunProgram(std::vector<std::string> argv, std::string_view input,
                                       std::vector<int> cpus = {});

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_RUN_PROGRAM_H_
