#ifndef KO_BENCHMARKS_REPORTING_MACHINE_H_
#define KO_BENCHMARKS_REPORTING_MACHINE_H_

#include "ko/benchmarks/reporting/json.h"

namespace ko::benchmarks {

// Processor, kernel, compiler, C library and build: what figures depend on and Google Benchmark does not tell.
Json::Object DescribeMachine();

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_MACHINE_H_
