#ifndef KO_BENCHMARKS_REPORTING_RUN_PROGRAM_H_
#define KO_BENCHMARKS_REPORTING_RUN_PROGRAM_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ko::benchmarks {

// What a program prints that is given `input`. Errors: those of Exec; Internal where it does not exit with 0, with what it
// prints as errors.
absl::StatusOr<std::string> RunProgram(std::vector<std::string> argv, std::string_view input);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_RUN_PROGRAM_H_
