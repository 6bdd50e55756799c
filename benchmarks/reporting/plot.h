#ifndef KO_BENCHMARKS_REPORTING_PLOT_H_
#define KO_BENCHMARKS_REPORTING_PLOT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ko/benchmarks/reporting/table.h"

namespace ko::benchmarks {

struct Plot {
  std::string title;
  std::string script;  // for gnuplot, which then prints an SVG
};

// What is to be drawn of a table: lines along its axis, one plot for each combination of the other parameters; or bars.
// Pure. `id` is unique in the page.
std::vector<Plot> MakePlots(const Table& table, const std::string& id);

// The version of the gnuplot on PATH. Errors: NotFound where there is none.
absl::StatusOr<std::string> GnuplotVersion();

// Its SVG, without what stands before the <svg>. Errors: Internal, with what gnuplot says.
absl::StatusOr<std::string> Draw(const Plot& plot);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_PLOT_H_
