#ifndef KO_BENCHMARKS_REPORTING_COMPARE_H_
#define KO_BENCHMARKS_REPORTING_COMPARE_H_

#include <string>
#include <vector>

#include "ko/benchmarks/reporting/measurements.h"

namespace ko::benchmarks {

// A benchmark in two reports. A value.
struct Change {
  BenchmarkName name;
  double before_ns, after_ns;  // medians
  double ratio;                // after to before: above 1 is slower
  double probability;          // that they differ by chance
};

// What both have, in the order of the names. Pure.
std::vector<Change> Compare(const Measurements& before, const Measurements& after);

// Beyond chance (one in twenty) and, in its medians, by at least that share.
bool IsSlower(const Change& change, double at_least);

// A line each of what has become slower or faster beyond chance and the share; ends with how many were compared.
std::string DescribeChanges(const std::vector<Change>& changes, double at_least);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_COMPARE_H_
