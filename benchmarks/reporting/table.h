#ifndef KO_BENCHMARKS_REPORTING_TABLE_H_
#define KO_BENCHMARKS_REPORTING_TABLE_H_

#include <string>
#include <vector>

#include "ko/benchmarks/reporting/measurements.h"
#include "ko/benchmarks/reporting/subjects.h"

namespace ko::benchmarks {

// A subject's figures: a row for each combination of parameters, a column for each contender. A value.
struct Table {
  struct Cell {
    bool present = false;
    double median = 0;  // nanoseconds, items a second, or the counter
    double spread = 0;  // see Spread
    double ratio = 0;   // to the baseline: how many times as long, or as many; 0 where there is none
  };
  struct Row {
    std::vector<BenchmarkName::Parameter> parameters;
    std::vector<Cell> cells;  // as the contenders
  };
  Subject subject;
  std::vector<std::string> contenders;  // ko, what else is ours, the baseline, others
  std::vector<Row> rows;
};

// In the order of the subjects.
std::vector<Table> MakeTables(const Measurements& measurements);

// "24.5 ns", "1.28 us"; "40.8 M/s".
std::string FormatTime(double nanoseconds);
std::string FormatRate(double per_second);
std::string FormatFigure(const Subject& subject, double value);
// "bytes 8, pairs 1"; empty for none.
std::string FormatParameters(const std::vector<BenchmarkName::Parameter>& parameters);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_TABLE_H_
