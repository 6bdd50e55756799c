#ifndef KO_BENCHMARKS_REPORTING_MEASUREMENTS_H_
#define KO_BENCHMARKS_REPORTING_MEASUREMENTS_H_

#include <compare>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ko/benchmarks/reporting/json.h"

namespace ko::benchmarks {

// Of "Channel/ko/bytes:8/pairs:1/iterations:9/real_time": Channel, ko, bytes 8 and pairs 1. How it is run is no part of it.
struct BenchmarkName {
  using Parameter = std::pair<std::string, double>;
  std::string subject;
  std::string contender;
  std::vector<Parameter> parameters;

  static BenchmarkName Parse(std::string_view name);
  // As it is read aloud: "Channel/ko/bytes:8/pairs:1".
  std::string ToString() const;
  auto operator<=>(const BenchmarkName&) const = default;
};

// "1000000", "0.5".
std::string FormatNumber(double value);

// The repetitions of one benchmark.
struct Measurement {
  std::vector<double> nanoseconds = {};                      // of one operation
  std::vector<double> items_per_second = {};                 // empty where it counts none
  std::map<std::string, std::vector<double>> counters = {};  // what else it counts, by its names
};

using Measurements = std::map<BenchmarkName, Measurement>;

// Of a report in Google Benchmark's format; benchmarks that failed are left out. Errors: InvalidArgument.
absl::StatusOr<Measurements> ReadMeasurements(const Json& report);

// One report of several, which are the rounds of several programs: the first one's context with what the others' have beside
// it, and all benchmarks.
Json Merge(const std::vector<Json>& reports, const Json::Object& more_context);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_MEASUREMENTS_H_
