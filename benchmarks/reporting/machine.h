#ifndef KO_BENCHMARKS_REPORTING_MACHINE_H_
#define KO_BENCHMARKS_REPORTING_MACHINE_H_

#include <string>

#include "ko/benchmarks/reporting/json.h"

namespace ko::benchmarks {

// Processor, kernel, compiler, C library and build: what figures depend on and Google Benchmark does not tell.
Json::Object DescribeMachine();

// A sentence for readers where, by a report's context, the machine had so much other work when it was begun that the figures
// are rough; else empty. Pure.
std::string BusyNote(const Json& context);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_MACHINE_H_
