#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ko/benchmarks/reporting/json.h"
#include "ko/benchmarks/reporting/run_program.h"
#include "ko/testing/leaks.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

// The program as it is used, with short runs of the real benchmarks, and its page in a real browser.

namespace ko::benchmarks {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;

constexpr const char* kBrowser = "chromium-headless-shell";

class ReportTest : public testing::LeakCheckedTest {
 protected:
  absl::StatusOr<std::string> Report(std::vector<std::string> args) {
    args.insert(args.begin(), std::filesystem::absolute("benchmarks/report").string());
    return RunProgram(std::move(args), "");
  }
  absl::StatusOr<std::string> ShortReport(const std::string& folder, const std::string& only) {
    return Report({"--out=" + folder, "--only=" + only, "--rounds=3", "--min_time=0.001"});
  }
  testing::TempDir folder_;
};

TEST_F(ReportTest, WritesThreeFilesOfWhatItMeasures) {
  ASSERT_THAT(ShortReport(folder_.File("out"), "^Lock/"), IsOk());
  const absl::StatusOr<Json> report = Json::Parse(testing::ReadFile(folder_.File("out/report.json")));
  ASSERT_THAT(report, IsOk());
  EXPECT_GE((*report)["benchmarks"].items().size(), 15u);  // at least five contenders, three times
  for (const char* name : {"kernel", "C library", "Abseil", "library_version"}) {
    EXPECT_NE((*report)["context"][name].text(), "") << name;
  }
  EXPECT_THAT(testing::ReadFile(folder_.File("out/report.md")), HasSubstr("## A lock, alone"));
  EXPECT_THAT(testing::ReadFile(folder_.File("out/report.html")), HasSubstr("<h2 id=\"Lock\">"));
  EXPECT_THAT(testing::ReadFile(folder_.File("out/report.md")),
              HasSubstr("x the time of Lock/pthread_robust"));
}

TEST_F(ReportTest, ContendersThatAreThereAreNamedWithTheirVersions) {
  ASSERT_THAT(ShortReport(folder_.File("out"), "^MapGet/.*/keys:10/bytes:8/"), IsOk());
  const absl::StatusOr<Json> report = Json::Parse(testing::ReadFile(folder_.File("out/report.json")));
  ASSERT_THAT(report, IsOk());
  const std::string page = testing::ReadFile(folder_.File("out/report.md"));
  for (const auto& [contender, name] :
       {std::pair("MapGet/boost", "Boost"), std::pair("MapGet/lmdb", "LMDB")}) {
    const auto& benchmarks = (*report)["benchmarks"].items();
    const bool is_there = std::any_of(benchmarks.begin(), benchmarks.end(), [&](const Json& benchmark) {
      return benchmark["name"].text().starts_with(contender);
    });
    EXPECT_EQ(is_there, !(*report)["context"][name].text().empty()) << name;
    EXPECT_EQ(is_there, absl::StrContains(page, absl::StrCat("- ", name, ": "))) << name;
  }
}

TEST_F(ReportTest, ComparesWithABaseline) {
  ASSERT_THAT(Report({"--out=" + folder_.File("out"), "--only=^Lock/(ko|raw_futex)", "--rounds=5",
                      "--min_time=0.001"}),
              IsOk());
  const std::string report = folder_.File("out/report.json");
  const absl::StatusOr<std::string> same = Report(
      {"--out=" + folder_.File("b"), "--from=" + report, "--baseline=" + report, "--fail_on_regression=10%"});
  ASSERT_THAT(same, IsOk());
  EXPECT_THAT(*same, HasSubstr("2 compared: 0 slower, 0 faster"));

  const std::string slow = folder_.File("slow.json");  // a thousand times
  std::ofstream(slow) << absl::StrReplaceAll(testing::ReadFile(report), {{"\"ns\"", "\"us\""}});
  const absl::StatusOr<std::string> told =
      Report({"--out=" + folder_.File("c"), "--from=" + slow, "--baseline=" + report});
  ASSERT_THAT(told, IsOk());
  EXPECT_THAT(*told, HasSubstr("2 compared: 2 slower, 0 faster"));
  const absl::StatusOr<std::string> failed = Report(
      {"--out=" + folder_.File("c"), "--from=" + slow, "--baseline=" + report, "--fail_on_regression=10%"});
  EXPECT_THAT(failed.status().message(), HasSubstr("exited with code 1"));
}

TEST_F(ReportTest, WrongFlagsAreToldBeforeAnythingRuns) {
  const auto expect_error = [&](std::vector<std::string> args, const char* message) {
    const absl::StatusOr<std::string> result = Report(std::move(args));
    EXPECT_THAT(result.status().message(), HasSubstr(message));
  };
  expect_error({}, "--out=DIR is needed");
  expect_error({"--out=" + folder_.path(), "--fail_on_regression=10%"}, "needs a --baseline");
  expect_error({"--out=" + folder_.path(), "--baseline=/nothing"}, "cannot read /nothing");
  expect_error({"--out=" + folder_.path(), "--from=/nothing"}, "cannot read /nothing");
  expect_error({"--out=/proc/nothing", "--from=x"}, "cannot make /proc/nothing");
  expect_error({"--out=" + folder_.path(), "--only=NoSuchBenchmark"}, "no benchmark has a name");
  expect_error({"--out=" + folder_.path(), "more"}, "flags only");
}

// What the page's own script finds out about it, in the browser.
constexpr const char* kCheck = R"html(
<script>
addEventListener('load', () => {
  const found = [];
  const figures = [...document.querySelectorAll('figure svg')];
  found.push('figures ' + figures.length);
  found.push('empty ' + figures.filter(svg => {
    const box = svg.getBBox();
    return box.width < 100 || box.height < 100 || svg.querySelectorAll('path').length < 3;
  }).length);
  const links = [...document.querySelectorAll('nav a')];
  found.push('links ' + links.length);
  found.push('dangling ' + links.filter(a => !document.getElementById(a.getAttribute('href').slice(1))).length);
  found.push('wider ' + (document.documentElement.scrollWidth > document.documentElement.clientWidth));
  found.push('errors ' + window.errors);
  const pre = document.createElement('pre');
  pre.textContent = 'FOUND ' + found.join(', ') + ' END';
  document.body.append(pre);
});
</script>)html";

TEST_F(ReportTest, ThePageIsWholeInABrowser) {
  if (!RunProgram({kBrowser, "--version"}, "").ok())
    GTEST_SKIP() << "there is no " << kBrowser << " on this machine";
  if (!RunProgram({"gnuplot", "--version"}, "").ok()) GTEST_SKIP() << "there is no gnuplot on this machine";
  ASSERT_THAT(
      ShortReport(folder_.File("out"), "^(Lock/|MapGet/ko/keys:10+/bytes:8/|MapGet/flat.*keys:10+/bytes:8/)"),
      IsOk());
  const std::string page = testing::ReadFile(folder_.File("out/report.html"));
  EXPECT_EQ(page.find("http"), page.find("http://www.w3.org"));  // names of XML, nothing that is loaded
  const std::string checked = folder_.File("out/checked.html");
  std::ofstream(checked) << absl::StrReplaceAll(
      page, {{"<title>", "<script>var errors = 0; onerror = () => { ++errors; };</script><title>"},
             {"</body>", absl::StrCat(kCheck, "</body>")}});
  for (const int width : {1100, 390}) {
    const std::string size = absl::StrCat("--window-size=", width, ",2000");
    const std::vector<std::string> browser = {kBrowser,       "--headless",
                                              "--no-sandbox", "--disable-gpu",
                                              size,           "--user-data-dir=" + folder_.File("user")};
    std::vector<std::string> dump = browser;
    dump.insert(dump.end(), {"--virtual-time-budget=5000", "--dump-dom", "file://" + checked});
    const absl::StatusOr<std::string> dom = RunProgram(dump, "");
    ASSERT_THAT(dom, IsOk());
    // Bars of the locks, and a line of the map over its keys.
    EXPECT_THAT(*dom, HasSubstr("FOUND figures 2, empty 0, links 4, dangling 0, wider false, errors 0 END"));
    std::vector<std::string> shoot = browser;
    const char* const outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
    const std::string shot =
        absl::StrCat(outputs != nullptr ? outputs : folder_.path(), "/report-", width, ".png");
    shoot.insert(shoot.end(), {"--screenshot=" + shot, "file://" + folder_.File("out/report.html")});
    ASSERT_THAT(RunProgram(shoot, ""), IsOk());
    EXPECT_GT(std::filesystem::file_size(shot), 10'000u);
  }
  while (::waitpid(-1, nullptr, 0) > 0) {  // what the browser has left to the test
  }
}

}  // namespace
}  // namespace ko::benchmarks
