#include "ko/benchmarks/reporting/table.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ko/benchmarks/reporting/statistics.h"

namespace ko::benchmarks {
namespace {

std::string ThreeDigits(double value) {
  return absl::StrFormat("%.*f", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value);
}

std::vector<double> Shown(const Subject& subject, const Measurement& measurement) {
  switch (subject.shows) {
    case Subject::Shows::kTime:
      return measurement.nanoseconds;
    case Subject::Shows::kItems:
      return measurement.items_per_second;
    case Subject::Shows::kCounter:
      break;
  }
  const auto found = measurement.counters.find(subject.counter);
  return found != measurement.counters.end() ? found->second : std::vector<double>();
}

Table MakeTable(const Subject& subject, const std::map<BenchmarkName, const Measurement*>& all) {
  Table table{.subject = subject, .contenders = {}, .rows = {}};
  for (const auto& [name, measurement] : all) {
    if (std::find(table.contenders.begin(), table.contenders.end(), name.contender) == table.contenders.end())
      table.contenders.push_back(name.contender);
    const bool is_new =
        std::none_of(table.rows.begin(), table.rows.end(),
                     [&name = name](const Table::Row& row) { return row.parameters == name.parameters; });
    if (is_new) table.rows.push_back({name.parameters, {}});
  }
  const auto order = [&subject](const std::string& contender) {
    return contender == "ko" ? 0 : IsOurs(contender) ? 1 : contender == subject.baseline ? 2 : 3;
  };
  std::stable_sort(table.contenders.begin(), table.contenders.end(),
                   [&](const std::string& a, const std::string& b) { return order(a) < order(b); });
  std::sort(table.rows.begin(), table.rows.end(),
            [](const Table::Row& a, const Table::Row& b) { return a.parameters < b.parameters; });

  for (Table::Row& row : table.rows) {
    double baseline = 0;
    for (const std::string& contender : table.contenders) {
      Table::Cell cell;
      const auto found = all.find({subject.name, contender, row.parameters});
      if (found != all.end()) {
        const std::vector<double> values = Shown(subject, *found->second);
        cell = {.present = !values.empty(), .median = Median(values), .spread = Spread(values), .ratio = 0};
      }
      if (contender == subject.baseline) baseline = cell.median;
      row.cells.push_back(cell);
    }
    for (Table::Cell& cell : row.cells) {
      if (baseline > 0 && cell.present) cell.ratio = cell.median / baseline;
    }
  }
  return table;
}

}  // namespace

std::vector<Table> MakeTables(const Measurements& measurements) {
  std::map<std::string, std::map<BenchmarkName, const Measurement*>> by_subject;
  for (const auto& [name, measurement] : measurements) by_subject[name.subject][name] = &measurement;
  std::vector<Table> tables;
  for (const auto& [name, all] : by_subject) tables.push_back(MakeTable(FindSubject(name), all));
  std::stable_sort(tables.begin(), tables.end(),
                   [](const Table& a, const Table& b) { return a.subject.rank < b.subject.rank; });
  return tables;
}

std::string FormatTime(double nanoseconds) {
  constexpr const char* kUnits[] = {"ns", "µs", "ms"};
  for (const char* const unit : kUnits) {
    if (nanoseconds < 999.5) return absl::StrCat(ThreeDigits(nanoseconds), " ", unit);
    nanoseconds /= 1000;
  }
  return absl::StrCat(ThreeDigits(nanoseconds), " s");
}

std::string FormatRate(double per_second) {
  constexpr const char* kUnits[] = {"/s", " k/s", " M/s"};
  for (const char* const unit : kUnits) {
    if (per_second < 999.5) return absl::StrCat(ThreeDigits(per_second), unit);
    per_second /= 1000;
  }
  return absl::StrCat(ThreeDigits(per_second), " G/s");
}

std::string FormatFigure(const Subject& subject, double value) {
  switch (subject.shows) {
    case Subject::Shows::kTime:
      return FormatTime(value);
    case Subject::Shows::kItems:
      return FormatRate(value);
    case Subject::Shows::kCounter:
      break;
  }
  return FormatNumber(value);
}

std::string FormatParameters(const std::vector<BenchmarkName::Parameter>& parameters) {
  return absl::StrJoin(parameters, ", ", [](std::string* text, const BenchmarkName::Parameter& parameter) {
    absl::StrAppend(text, parameter.first, " ", FormatNumber(parameter.second));
  });
}

}  // namespace ko::benchmarks
