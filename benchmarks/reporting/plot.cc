#include "ko/benchmarks/reporting/plot.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "ko/benchmarks/reporting/run_program.h"

namespace ko::benchmarks {
namespace {

// Told apart by people who see colours in other ways, too (M. Okabe, K. Ito, "Color Universal Design", 2008). Ours is the
// first.
constexpr const char* kColours[] = {"#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00",
                                    "#56B4E9", "#666666", "#999933", "#882255", "#332288"};

// Of a bar, in bytes: longer ones would lie on each other.
constexpr size_t kShortLabel = 14;

// In a gnuplot string.
std::string Quoted(std::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "''"}, {"\n", " "}}), "'");
}

std::string Preamble(const std::string& id, const Subject& subject) {
  const bool shows_items = subject.shows == Subject::Shows::kItems;
  return absl::StrCat(
      "set terminal svg size 640,420 dynamic font 'sans-serif,13' name ", Quoted(id),
      "\nset termoption noenhanced\n"
      "set border 3 linecolor '#888888'\nset grid ytics linecolor '#CCCCCC' linewidth 0.5\n"
      "set tics nomirror textcolor '#444444'\nset key outside bottom center horizontal textcolor '#444444'\n"
      "set logscale y\nset format y '%.0s ",
      shows_items ? "%c/s'\n" : "%cs'\n");
}

// In seconds, or items a second.
double Figure(const Table& table, const Table::Cell& cell) {
  return table.subject.shows == Subject::Shows::kItems ? cell.median : cell.median / 1e9;
}

// Empty where nothing was measured.
std::string LineScript(const Table& table, const std::vector<const Table::Row*>& rows, size_t axis,
                       const std::string& id) {
  std::string script = Preamble(id, table.subject);
  std::string data, curves;
  std::vector<double> xs;
  size_t count = 0;
  for (size_t i = 0; i < table.contenders.size(); ++i) {
    std::string points;
    for (const Table::Row* row : rows) {
      if (!row->cells[i].present) continue;
      const double x = row->parameters[axis].second;
      xs.push_back(x);
      absl::StrAppendFormat(&points, "%.17g %.17g\n", x, Figure(table, row->cells[i]));
    }
    if (points.empty()) continue;
    absl::StrAppend(&data, "$d", i, " << EOD\n", points, "EOD\n");
    // The first is what the plot is about.
    absl::StrAppend(&curves, count++ > 0 ? ", " : "plot ", "$d", i, " with linespoints linecolor '",
                    kColours[i % std::size(kColours)], "' linewidth ",
                    i == 0                        ? 3.5
                    : IsOurs(table.contenders[i]) ? 2.5
                                                  : 1.2,
                    " pointtype 7 pointsize ", i == 0 ? 0.7 : 0.4, " title ", Quoted(table.contenders[i]));
  }
  if (curves.empty()) return "";
  absl::StrAppend(&script, "set xlabel ", Quoted(table.subject.x_title),
                  " textcolor '#444444' offset 0,0.4\n");
  std::sort(xs.begin(), xs.end());
  xs.erase(std::unique(xs.begin(), xs.end()), xs.end());
  if (xs.front() > 0 || xs.size() == 1) {
    absl::StrAppend(&script, "set logscale x\n");
  } else {
    // A scale by powers has no 0: it stands one step below the least.
    const double shift = xs[1] / 4;
    absl::StrAppendFormat(&script, "set nonlinear x via log10(x+%g) inverse 10**x-%g\n", shift, shift);
  }
  // A little more than the last, whose place is no round number on that scale.
  absl::StrAppendFormat(&script, "set xrange [%g:%g]\nset xtics (", xs.front(), xs.back() * 1.05);
  for (size_t i = 0; i < xs.size(); ++i)
    absl::StrAppendFormat(&script, "%s'%s' %g", i > 0 ? ", " : "", FormatNumber(xs[i]), xs[i]);
  return absl::StrCat(script, ")\n", data, curves, "\n");
}

// The same.
std::string BarScript(const Table& table, const Table::Row& row, const std::string& id) {
  std::string script = Preamble(id, table.subject);
  absl::StrAppend(&script,
                  "unset key\nunset ytics\nset border 1\nset style fill solid 0.85 noborder\n"
                  "set boxwidth 0.6\n");
  std::string data, labels;
  double least = 0;
  double most = 0;
  size_t longest = 0;
  int bar = 0;
  for (size_t i = 0; i < table.contenders.size(); ++i) {
    if (!row.cells[i].present || row.cells[i].median <= 0) continue;
    const double figure = Figure(table, row.cells[i]);
    least = bar == 0 ? figure : std::min(least, figure);
    most = std::max(most, figure);
    longest = std::max(longest, table.contenders[i].size());
    absl::StrAppendFormat(&data, "%d %.17g %d \"%s\"\n", bar, figure,
                          std::stoi(kColours[i % std::size(kColours)] + 1, nullptr, 16),
                          FormatFigure(table.subject, row.cells[i].median));
    absl::StrAppend(&labels, bar > 0 ? ", " : "", Quoted(table.contenders[i]), " ", bar);
    ++bar;
  }
  if (bar == 0) return "";
  // Long ones stand aslant, the first of them beyond the axis.
  if (longest > kShortLabel) absl::StrAppend(&script, "set lmargin 18\n");
  absl::StrAppendFormat(&script, "set xrange [-0.6:%g]\nset yrange [%g:%g]\nset xtics %s(%s)\n", bar - 0.4,
                        least / 3, most * 2, longest > kShortLabel ? "rotate by 20 right " : "", labels);
  absl::StrAppend(&script, "$d << EOD\n", data,
                  "EOD\nplot $d using 1:2:3 with boxes linecolor rgb variable, "
                  "$d using 1:2:4 with labels offset 0,0.7 textcolor '#444444'\n");
  return script;
}

}  // namespace

std::vector<Plot> MakePlots(const Table& table, const std::string& id) {
  std::vector<Plot> plots;
  // A counter is often 0, which no scale by powers has.
  if (table.rows.empty() || table.subject.shows == Subject::Shows::kCounter) return plots;
  // Where the axis stands among the parameters, if it does in all rows and has more than one place.
  std::optional<size_t> axis;
  for (size_t i = 0; i < table.rows[0].parameters.size(); ++i) {
    if (table.rows[0].parameters[i].first == table.subject.x) axis = i;
  }
  std::map<std::vector<BenchmarkName::Parameter>, std::vector<const Table::Row*>> groups;
  for (const Table::Row& row : table.rows) {
    std::vector<BenchmarkName::Parameter> others = row.parameters;
    if (axis.has_value() && *axis < others.size()) others.erase(others.begin() + static_cast<long>(*axis));
    groups[std::move(others)].push_back(&row);
  }
  for (const auto& [others, rows] : groups) {
    Plot plot{.title = FormatParameters(others), .script = ""};
    const std::string plot_id = absl::StrCat(id, "_", plots.size());
    if (axis.has_value() && rows.size() > 1) {
      plot.script = LineScript(table, rows, *axis, plot_id);
    } else {
      plot.title = FormatParameters(rows[0]->parameters);
      plot.script = BarScript(table, *rows[0], plot_id);
    }
    if (!plot.script.empty()) plots.push_back(std::move(plot));
  }
  return plots;
}

absl::StatusOr<std::string> GnuplotVersion() {
  absl::StatusOr<std::string> output = RunProgram({"gnuplot", "--version"}, "");
  if (!output.ok()) return output.status();
  return std::string(absl::StripAsciiWhitespace(*output));
}

absl::StatusOr<std::string> Draw(const Plot& plot) {
  absl::StatusOr<std::string> output = RunProgram({"gnuplot"}, plot.script);
  if (!output.ok()) return output.status();
  const size_t begin = output->find("<svg");
  if (begin == std::string::npos) return absl::InternalError("gnuplot has drawn nothing");
  return output->substr(begin);
}

}  // namespace ko::benchmarks
