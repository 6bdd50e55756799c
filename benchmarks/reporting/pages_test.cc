#include "ko/benchmarks/reporting/pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ko::benchmarks {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Page MakePage() {
  const Measurements measurements = {{BenchmarkName::Parse("Lock/ko"), {{20, 22, 18}, {}}},
                                     {BenchmarkName::Parse("Lock/pthread_robust"), {{10, 10, 10}, {}}},
                                     {BenchmarkName::Parse("ForkWait/ko/rss_mb:0"), {{200'000}, {}}}};
  Page page{.context = {{"kernel", "Linux 6"},
                        {"LMDB", "LMDB 1.0"},
                        {"host_name", "secret"},
                        {"executable", "/home/me/x"},
                        {"rounds", 3.0}},
            .sections = {},
            .verdicts = Judge(Goals(), measurements),
            .note = "a <note>"};
  for (Table& table : MakeTables(measurements)) {
    page.sections.push_back({.table = std::move(table), .drawings = {{"bars & lines", "<svg></svg>"}}});
  }
  std::erase_if(page.verdicts,
                [](const Verdict& verdict) { return verdict.outcome == Verdict::Outcome::kNotMeasured; });
  return page;
}

TEST(PagesTest, BothShowFiguresRatiosAndSpread) {
  const Page page = MakePage();
  EXPECT_THAT(ToMarkdown(page), HasSubstr("| 20.0 ns (×2.00, ±5 %) | 10.0 ns (×1.00) |"));
  EXPECT_THAT(ToHtml(page), HasSubstr("20.0 ns<small>×2.00, ±5 %</small>"));
  EXPECT_THAT(ToHtml(page), HasSubstr("<small>baseline</small>"));
}

TEST(PagesTest, EachSubjectHasASentenceAndALinkInTheContents) {
  const std::string html = ToHtml(MakePage());
  EXPECT_THAT(html, HasSubstr("<a href=\"#Lock\">A lock, alone</a>"));
  EXPECT_THAT(html, HasSubstr("<h2 id=\"Lock\">A lock, alone</h2>"));
  EXPECT_THAT(html, HasSubstr(FindSubject("Lock").sentence));
  EXPECT_THAT(html, HasSubstr("<a href=\"#goals\">"));
  EXPECT_THAT(html, HasSubstr("<a href=\"#machine\">"));
}

TEST(PagesTest, ForkingIsAboveTheRest) {
  const std::string html = ToHtml(MakePage());
  EXPECT_LT(html.find("<h2 id=\"ForkWait\">"), html.find("<h2 id=\"Lock\">"));
}

TEST(PagesTest, GoalsAreToldWithWhatWasReached) {
  const Page page = MakePage();
  EXPECT_THAT(ToMarkdown(page), HasSubstr("0 of the 1 goals"));
  EXPECT_THAT(ToMarkdown(page), HasSubstr("at most 1.2 x the time of Lock/pthread_robust"));
  EXPECT_THAT(ToHtml(page), HasSubstr("<td class=\"misses\">✗ misses</td>"));
  Page without = page;
  without.verdicts.clear();
  EXPECT_THAT(ToHtml(without), Not(HasSubstr("#goals")));
  EXPECT_THAT(ToMarkdown(without), Not(HasSubstr("Which goals hold")));
}

TEST(PagesTest, TheMachineAndVersionsAreNamedAndNobodysBusinessIsNot) {
  for (const std::string& text : {ToHtml(MakePage()), ToMarkdown(MakePage())}) {
    EXPECT_THAT(text, HasSubstr("Linux 6"));
    EXPECT_THAT(text, HasSubstr("LMDB 1.0"));
    EXPECT_THAT(text, Not(HasSubstr("secret")));
    EXPECT_THAT(text, Not(HasSubstr("/home/me")));
  }
}

TEST(PagesTest, TextIsNoMarkup) {
  const std::string html = ToHtml(MakePage());
  EXPECT_THAT(html, HasSubstr("a &lt;note&gt;"));
  EXPECT_THAT(html, HasSubstr("bars &amp; lines"));
  EXPECT_THAT(html, HasSubstr("<figure><svg></svg>"));
}

TEST(PagesTest, ItIsMadeForPhonesAndPaper) {
  const std::string html = ToHtml(MakePage());
  EXPECT_THAT(html, HasSubstr("name=\"viewport\""));
  EXPECT_THAT(html, HasSubstr("@media print"));
}

TEST(PagesTest, AnEmptyReportIsAPage) {
  EXPECT_THAT(ToHtml(Page()), HasSubstr("</html>"));
  EXPECT_THAT(ToMarkdown(Page()), HasSubstr("# ko-process"));
}

}  // namespace
}  // namespace ko::benchmarks
