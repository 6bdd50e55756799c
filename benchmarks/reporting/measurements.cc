#include "ko/benchmarks/reporting/measurements.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace ko::benchmarks {
namespace {

// 0 for none that Google Benchmark writes.
double NanosecondsOf(std::string_view unit) {
  if (unit == "ns") return 1;
  if (unit == "us") return 1e3;
  if (unit == "ms") return 1e6;
  return unit == "s" ? 1e9 : 0;
}

// What Google Benchmark adds to a name where a benchmark sets how it is run.
bool IsSetting(std::string_view name) {
  constexpr std::string_view kNames[] = {"iterations", "min_time", "min_warmup_time", "repeats", "threads"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// Numbers that stand beside every benchmark; others are its own counters.
bool IsGoogleBenchmarks(std::string_view name) {
  constexpr std::string_view kNames[] = {"family_index",     "per_family_instance_index",
                                         "repetitions",      "repetition_index",
                                         "threads",          "iterations",
                                         "real_time",        "cpu_time",
                                         "items_per_second", "bytes_per_second"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace

std::string FormatNumber(double value) {
  return value == std::trunc(value) && std::abs(value) < 1e15 ? absl::StrFormat("%.0f", value)
                                                              : absl::StrCat(value);
}

BenchmarkName BenchmarkName::Parse(std::string_view name) {
  BenchmarkName parsed;
  const std::vector<std::string_view> parts = absl::StrSplit(name, '/');
  parsed.subject = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::pair<std::string_view, std::string_view> parameter =
        absl::StrSplit(parts[i], absl::MaxSplits(':', 1));
    double value;
    if (IsSetting(parameter.first)) continue;
    if (absl::SimpleAtod(parameter.second, &value)) {
      parsed.parameters.emplace_back(parameter.first, value);
    } else if (i == 1) {
      parsed.contender = parts[i];
    }  // else how it is measured: "real_time"
  }
  return parsed;
}

std::string BenchmarkName::ToString() const {
  std::string text = absl::StrCat(subject, contender.empty() ? "" : "/", contender);
  for (const auto& [name, value] : parameters) absl::StrAppend(&text, "/", name, ":", FormatNumber(value));
  return text;
}

absl::StatusOr<Measurements> ReadMeasurements(const Json& report) {
  if (!report["benchmarks"].is_array()) {
    return absl::InvalidArgumentError("this is no report of Google Benchmark: it has no benchmarks");
  }
  Measurements measurements;
  for (const Json& benchmark : report["benchmarks"].items()) {
    // Aggregates follow from the iterations.
    if (benchmark["run_type"].text() == "aggregate" || !benchmark["error_message"].text().empty()) continue;
    const double unit = NanosecondsOf(benchmark["time_unit"].text());
    if (unit == 0 || benchmark["name"].text().empty()) {
      return absl::InvalidArgumentError("a benchmark of the report has no name, or no unit of time");
    }
    Measurement& measurement = measurements[BenchmarkName::Parse(benchmark["name"].text())];
    measurement.nanoseconds.push_back(benchmark["real_time"].number() * unit);
    if (const double items = benchmark["items_per_second"].number(); items > 0) {
      measurement.items_per_second.push_back(items);
    }
    for (const auto& [name, value] : benchmark.members()) {
      if (value.is_number() && !IsGoogleBenchmarks(name))
        measurement.counters[name].push_back(value.number());
    }
  }
  return measurements;
}

Json Merge(const std::vector<Json>& reports, const Json::Object& more_context) {
  Json::Object context = more_context;
  Json::Array benchmarks;
  for (const Json& report : reports) {
    for (const Json::Member& member : report["context"].members()) {
      const bool is_new = std::none_of(context.begin(), context.end(), [&](const Json::Member& present) {
        return present.first == member.first;
      });
      if (is_new) context.push_back(member);
    }
    const Json::Array& items = report["benchmarks"].items();
    benchmarks.insert(benchmarks.end(), items.begin(), items.end());
  }
  return Json(Json::Object{{"context", std::move(context)}, {"benchmarks", std::move(benchmarks)}});
}

}  // namespace ko::benchmarks
