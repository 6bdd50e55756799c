// Runs the benchmarks beside this program and writes what they tell: report.json, report.md and report.html.

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "ko/benchmarks/reporting/compare.h"
#include "ko/benchmarks/reporting/goals.h"
#include "ko/benchmarks/reporting/machine.h"
#include "ko/benchmarks/reporting/measurements.h"
#include "ko/benchmarks/reporting/pages.h"
#include "ko/benchmarks/reporting/plot.h"
#include "ko/benchmarks/reporting/run_benchmarks.h"
#include "ko/benchmarks/reporting/run_program.h"
#include "ko/benchmarks/reporting/table.h"

ABSL_FLAG(std::string, out, "", "the folder for report.json, report.md and report.html; it is made");
ABSL_FLAG(bool, quick, false, "fewer and shorter repetitions: a look, no proof");
ABSL_FLAG(int, rounds, 0,
          "how often everything is repeated; 0: 7, or 4 if quick; with fewer no difference is beyond chance");
ABSL_FLAG(double, min_time, 0, "the seconds for each benchmark in each round; 0: 0.2, or 0.02 if quick");
ABSL_FLAG(std::string, only, "", "a regular expression: only benchmarks whose names it matches");
ABSL_FLAG(std::string, from, "", "a report.json: nothing is run, its pages are made anew");
ABSL_FLAG(std::string, baseline, "", "a report.json of another time, to compare with");
ABSL_FLAG(
    std::string, fail_on_regression, "",
    "a share, 10% say: exit with 1 where something is slower than the baseline by as much, beyond chance");

namespace ko::benchmarks {
namespace {

namespace fs = std::filesystem;

// A path as the user meant it, who is not where Bazel starts programs.
fs::path UserPath(const std::string& path) {
  const char* const folder = std::getenv("BUILD_WORKING_DIRECTORY");
  return folder != nullptr ? fs::path(folder) / path : fs::path(path);
}

absl::StatusOr<Json> ReadReport(const std::string& path) {
  std::ifstream file(UserPath(path));
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  absl::StatusOr<Json> report = Json::Parse(text.str());
  if (!report.ok())
    return absl::Status(report.status().code(), absl::StrCat(path, ": ", report.status().message()));
  return report;
}

absl::Status WriteFile(const fs::path& path, const std::string& content) {
  std::ofstream file(path);
  if (!(file << content << std::flush))
    return absl::UnavailableError(absl::StrCat("cannot write ", path.string()));
  return absl::OkStatus();
}

// The benchmarks that were built with this program, which Bazel puts beside it.
std::vector<BenchmarkProgram> FindPrograms() {
  constexpr std::string_view kOfOneProcess[] = {"proctitle", "signals"};
  std::vector<BenchmarkProgram> programs;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("benchmarks", error)) {
    const fs::path path = fs::absolute(entry.path());
    if (path.filename().string().starts_with("report")) continue;  // this program, and its test
    if (fs::is_regular_file(path) && ::access(path.c_str(), X_OK) != 0) continue;
    programs.push_back({path, absl::c_linear_search(kOfOneProcess, path.filename().string())});
  }
  absl::c_sort(programs, [](const auto& a, const auto& b) { return a.path < b.path; });
  return programs;
}

// One line that is written over on a terminal.
void TellProgress(const RunProgress& progress) {
  static const bool on_terminal = ::isatty(STDERR_FILENO) != 0;
  const std::string left = absl::FormatDuration(absl::Ceil(progress.left, absl::Seconds(1)));
  absl::FPrintF(stderr, "%sround %d of %d: %s; about %s left%s", on_terminal ? "\r\033[K" : "",
                progress.round, progress.rounds, fs::path(progress.program).filename().string(), left,
                on_terminal ? "" : "\n");
}

absl::StatusOr<Json> Measure() {
  const bool quick = absl::GetFlag(FLAGS_quick);
  RunOptions options{.programs = FindPrograms(),
                     .rounds = absl::GetFlag(FLAGS_rounds),
                     .min_time_seconds = absl::GetFlag(FLAGS_min_time),
                     .filter = absl::GetFlag(FLAGS_only)};
  if (options.programs.empty()) return absl::NotFoundError("there are no benchmarks beside this program");
  if (options.rounds < 0 || options.min_time_seconds < 0) {
    return absl::InvalidArgumentError("--rounds and --min_time are not negative");
  }
  if (options.rounds == 0) options.rounds = quick ? 4 : 7;
  if (options.min_time_seconds == 0) options.min_time_seconds = quick ? 0.02 : 0.2;
  absl::StatusOr<SignalDispatcher> signals = SignalDispatcher::Create();
  if (!signals.ok()) return signals.status();
  const absl::StatusOr<BenchmarkRuns> runs = RunBenchmarks(options, *signals, TellProgress);
  if (::isatty(STDERR_FILENO) != 0) absl::FPrintF(stderr, "\r\033[K");
  if (!runs.ok()) return runs.status();
  const std::vector<Json>& reports = runs->reports;
  const std::string failures = absl::StrJoin(runs->failures, "; ");
  if (!failures.empty()) absl::FPrintF(stderr, "report: not measured: %s\n", failures);
  if (reports.empty()) {
    return failures.empty() ? absl::NotFoundError("no benchmark has a name that --only matches")
                            : absl::InternalError("no program has given a report");
  }
  Json::Object context = DescribeMachine();
  // The broker is no library of a benchmark, which could tell its version.
  const bool has_broker = absl::c_any_of(reports, [](const Json& one) {
    return absl::c_any_of(one["benchmarks"].items(), [](const Json& benchmark) {
      return benchmark["name"].text().starts_with("Queue/amqp");
    });
  });
  if (has_broker) {
    const absl::StatusOr<std::string> version = RunProgram({"rabbitmqctl", "version"}, "");
    if (version.ok()) context.emplace_back("RabbitMQ", std::string(absl::StripAsciiWhitespace(*version)));
  }
  context.emplace_back("rounds", static_cast<double>(options.rounds));
  context.emplace_back("seconds each", options.min_time_seconds);
  if (!failures.empty()) context.emplace_back("not measured", failures);
  return Merge(reports, context);
}

std::string NotMeasuredNote(const Json& context) {
  const std::string_view failures = context["not measured"].text();
  return failures.empty() ? "" : absl::StrCat("Not measured in full: ", failures, ".");
}

Page MakePage(const Json& report, const Measurements& measurements) {
  Page page{.context = report["context"].members(), .sections = {}, .verdicts = {}, .note = ""};
  const absl::StatusOr<std::string> gnuplot = GnuplotVersion();
  if (gnuplot.ok()) {
    page.context.emplace_back("plots", *gnuplot);
  } else {
    page.note = "There are no plots: gnuplot is not installed where this was made.";
  }
  for (const std::string& sentence : {BusyNote(report["context"]), NotMeasuredNote(report["context"])}) {
    if (!sentence.empty()) absl::StrAppend(&page.note, page.note.empty() ? "" : " ", sentence);
  }
  for (Table& table : MakeTables(measurements)) {
    Section section{.table = std::move(table), .drawings = {}};
    if (gnuplot.ok()) {
      for (const Plot& plot : MakePlots(section.table, section.table.subject.name)) {
        absl::StatusOr<std::string> svg = Draw(plot);
        if (svg.ok()) {
          section.drawings.push_back({plot.title, *std::move(svg)});
        } else {
          absl::FPrintF(stderr, "%s: %s\n", section.table.subject.name, svg.status().message());
        }
      }
    }
    page.sections.push_back(std::move(section));
  }
  for (Verdict& verdict : Judge(Goals(), measurements)) {
    if (verdict.outcome != Verdict::Outcome::kNotMeasured) page.verdicts.push_back(std::move(verdict));
  }
  return page;
}

absl::StatusOr<double> ParseShare(std::string_view text) {
  double percent;
  if (!absl::ConsumeSuffix(&text, "%") || !absl::SimpleAtod(text, &percent) || !(percent >= 0)) {
    return absl::InvalidArgumentError("--fail_on_regression takes a share, 10% say");
  }
  return percent / 100;
}

// The exit code.
absl::StatusOr<int> Run() {
  const std::string out = absl::GetFlag(FLAGS_out);
  const std::string from = absl::GetFlag(FLAGS_from);
  const std::string baseline = absl::GetFlag(FLAGS_baseline);
  const std::string regression = absl::GetFlag(FLAGS_fail_on_regression);
  if (out.empty()) return absl::InvalidArgumentError("--out=DIR is needed");
  if (!regression.empty() && baseline.empty()) {
    return absl::InvalidArgumentError("--fail_on_regression needs a --baseline");
  }
  // Whatever can be wrong with the flags is told before the time is spent.
  double share = 0.05;
  if (!regression.empty()) {
    const absl::StatusOr<double> parsed = ParseShare(regression);
    if (!parsed.ok()) return parsed.status();
    share = *parsed;
  }
  Measurements before;
  if (!baseline.empty()) {
    const absl::StatusOr<Json> old_report = ReadReport(baseline);
    if (!old_report.ok()) return old_report.status();
    absl::StatusOr<Measurements> read = ReadMeasurements(*old_report);
    if (!read.ok()) return read.status();
    before = *std::move(read);
  }
  const fs::path folder = UserPath(out);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    return absl::UnavailableError(absl::StrCat("cannot make ", folder.string(), ": ", error.message()));

  const absl::StatusOr<Json> report = from.empty() ? Measure() : ReadReport(from);
  if (!report.ok()) return report.status();
  const absl::StatusOr<Measurements> measurements = ReadMeasurements(*report);
  if (!measurements.ok()) return measurements.status();
  const Page page = MakePage(*report, *measurements);
  for (const auto& [name, content] :
       {std::pair<const char*, std::string>("report.json", report->ToString() + "\n"),
        {"report.md", ToMarkdown(page)},
        {"report.html", ToHtml(page)}}) {
    if (absl::Status status = WriteFile(folder / name, content); !status.ok()) return status;
    absl::PrintF("%s\n", (folder / name).string());
  }
  if (baseline.empty()) return 0;
  const std::vector<Change> changes = Compare(before, *measurements);
  absl::PrintF("%s", DescribeChanges(changes, share));
  const bool slower = std::any_of(changes.begin(), changes.end(),
                                  [&](const Change& change) { return IsSlower(change, share); });
  return slower && !regression.empty() ? 1 : 0;
}

}  // namespace
}  // namespace ko::benchmarks

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("runs the benchmarks and writes a report of them. For figures: -c opt.");
  // All flags of this program are its help; Abseil's own have theirs with --helpfull.
  absl::FlagsUsageConfig usage;
  usage.contains_help_flags = [](std::string_view file) {
    return file.ends_with("benchmarks/reporting/main.cc");
  };
  absl::SetFlagsUsageConfig(usage);
  if (absl::ParseCommandLine(argc, argv).size() > 1) {
    absl::FPrintF(stderr, "report: it takes flags only; --help lists them\n");
    return 2;
  }
  const absl::StatusOr<int> code = ko::benchmarks::Run();
  if (code.ok()) return *code;
  absl::FPrintF(stderr, "report: %s\n", code.status().message());
  if (absl::IsCancelled(code.status())) return 130;
  return absl::IsInvalidArgument(code.status()) ? 2 : 1;
}
