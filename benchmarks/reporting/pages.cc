#include "ko/benchmarks/reporting/pages.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace ko::benchmarks {
namespace {

constexpr std::string_view kTitle = "ko-process for C++: what it costs";
constexpr std::string_view kReading =
    "A figure is the median of the repetitions. Behind it stand how many times the baseline's that is, and "
    "half the "
    "distance between the quartiles. Machines differ; the ratios less so. Everything is measured once in "
    "each "
    "round, so that what disturbs the machine for a while disturbs all contenders alike. Programs of a "
    "single "
    "process are kept on one processor; those of several are not, because where the kernel puts two "
    "processes "
    "that talk to each other is a part of what they cost.";

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --ink: #1d1d1f; --soft: #6a6a70; --line: #dcdce0; --paper: #fff; --ours: #b34700; --good: #18794e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8ea; --soft: #a0a0a8; --line: #3a3a40; --paper: #17171a; --ours: #ff9d57; --good: #4cc38a; }
  figure svg { filter: invert(1) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
       font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .25rem; padding-top: .75rem; border-top: 1px solid var(--line); }
p { margin: .25rem 0 1rem; }
.soft, figcaption, nav { color: var(--soft); font-size: .9rem; }
nav ul { columns: 18rem; padding-left: 1.2rem; }
a { color: inherit; }
figure { margin: 1rem 0; }
figure svg { width: 100%; height: auto; max-width: 720px; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
thead th { font-weight: 600; vertical-align: bottom; }
td small, th small { display: block; color: var(--soft); font-weight: 400; }
.goals td { white-space: normal; text-align: left; min-width: 7rem; } .goals th { text-align: left; }
.goals code { font-size: .8rem; overflow-wrap: anywhere; }
td.holds { color: var(--good); font-weight: 600; } td.misses { color: var(--ours); }
.ours { color: var(--ours); font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media print { h2 { break-after: avoid; } figure, table { break-inside: avoid; } nav { display: none; } }
)";

std::string Escaped(std::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string RatioAndSpread(const Table::Cell& cell) {
  std::string text;
  if (cell.ratio > 0) absl::StrAppendFormat(&text, "×%.*f", cell.ratio < 9.95 ? 2 : 0, cell.ratio);
  if (cell.spread >= 0.005)
    absl::StrAppendFormat(&text, "%s±%.0f %%", text.empty() ? "" : ", ", cell.spread * 100);
  return text;
}

// Google Benchmark's names of things, for readers.
std::string_view ContextName(std::string_view name) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"num_cpus", "processors"},
      {"mhz_per_cpu", "MHz"},
      {"load_avg", "load before"},
      {"library_version", "Google Benchmark"}};
  for (const auto& [from, to] : kNames) {
    if (name == from) return to;
  }
  return name;
}

// What a context says of one thing, readable; empty for what is nobody's business.
std::string ContextText(std::string_view name, const Json& value) {
  for (const std::string_view hidden :
       {"executable", "host_name", "json_schema_version", "library_build_type", "aslr_enabled"}) {
    if (name == hidden) return "";
  }
  if (name == "load_avg") return value.items().empty() ? "" : FormatNumber(value.items()[0].number());
  if (!value.text().empty()) return std::string(value.text());
  return value.number() != 0 ? FormatNumber(value.number()) : "";
}

std::string ContextTable(const Page& page) {
  std::string text = "<dl>\n";
  for (const auto& [name, value] : page.context) {
    if (const std::string shown = ContextText(name, value); !shown.empty()) {
      absl::StrAppend(&text, "<dt>", Escaped(ContextName(name)), "</dt><dd>", Escaped(shown), "</dd>\n");
    }
  }
  return text + "</dl>\n";
}

std::string HtmlTable(const Table& table) {
  std::string text = "<div class=\"scroll\"><table>\n<thead><tr><th></th>";
  for (size_t i = 0; i < table.contenders.size(); ++i) {
    absl::StrAppend(&text, IsOurs(table.contenders[i]) ? "<th class=\"ours\">" : "<th>",
                    Escaped(table.contenders[i]),
                    table.contenders[i] == table.subject.baseline ? "<small>baseline</small>" : "", "</th>");
  }
  text += "</tr></thead>\n<tbody>\n";
  for (const Table::Row& row : table.rows) {
    absl::StrAppend(&text, "<tr><td>", Escaped(FormatParameters(row.parameters)), "</td>");
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const Table::Cell& cell = row.cells[i];
      if (!cell.present) {
        text += "<td></td>";
        continue;
      }
      absl::StrAppend(&text, IsOurs(table.contenders[i]) ? "<td class=\"ours\">" : "<td>",
                      FormatFigure(table.subject, cell.median), "<small>", RatioAndSpread(cell),
                      "</small></td>");
    }
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>\n";
}

constexpr std::string_view kGoalsTitle = "Which goals hold";

// Above the table of the goals.
std::string GoalsSentence(const Page& page) {
  const auto hold = std::count_if(page.verdicts.begin(), page.verdicts.end(), [](const Verdict& verdict) {
    return verdict.outcome == Verdict::Outcome::kHolds;
  });
  return absl::StrCat(hold, " of the ", page.verdicts.size(),
                      " goals that this run measured hold, by the medians; in brackets the range by the "
                      "quartiles. Where the bound lies in that range, another run may tell otherwise.");
}

std::string HtmlGoals(const Page& page) {
  std::string text = absl::StrCat(
      "<section>\n<h2 id=\"goals\">", kGoalsTitle, "</h2>\n<p>", GoalsSentence(page),
      "</p>\n<div class=\"scroll\"><table class=\"goals\">\n<thead><tr><th>what</th><th>figure</th>"
      "<th>goal</th><th>reached</th><th></th></tr></thead>\n<tbody>\n");
  for (const Verdict& verdict : page.verdicts) {
    const bool holds = verdict.outcome == Verdict::Outcome::kHolds;
    absl::StrAppend(&text, "<tr><td>", Escaped(verdict.goal.what), "</td><td><code>",
                    Escaped(verdict.goal.figure), "</code></td><td>", Escaped(DescribeBound(verdict.goal)),
                    "</td><td>", Escaped(DescribeReached(verdict)), "</td><td class=\"",
                    holds ? "holds" : "misses", "\">", holds ? "✓ " : "✗ ", Escaped(DescribeOutcome(verdict)),
                    "</td></tr>\n");
  }
  return text + "</tbody></table></div>\n</section>\n";
}

std::string MarkdownGoals(const Page& page) {
  std::string text = absl::StrCat("## ", kGoalsTitle, "\n", GoalsSentence(page),
                                  "\n\n| what | figure | goal | reached | |\n|---|---|---|---:|---|\n");
  for (const Verdict& verdict : page.verdicts) {
    absl::StrAppend(&text, "| ", verdict.goal.what, " | `", verdict.goal.figure, "` | ",
                    DescribeBound(verdict.goal), " | ", DescribeReached(verdict), " | ",
                    DescribeOutcome(verdict), " |\n");
  }
  return text + "\n";
}

std::string MarkdownTable(const Table& table) {
  std::string text = "| |";
  std::string line = "|---|";
  for (const std::string& contender : table.contenders) {
    absl::StrAppend(&text, " ", contender, contender == table.subject.baseline ? " (baseline)" : "", " |");
    line += "---:|";
  }
  absl::StrAppend(&text, "\n", line, "\n");
  for (const Table::Row& row : table.rows) {
    absl::StrAppend(&text, "| ", FormatParameters(row.parameters), " |");
    for (const Table::Cell& cell : row.cells) {
      if (!cell.present) {
        text += " |";
        continue;
      }
      const std::string more = RatioAndSpread(cell);
      absl::StrAppend(&text, " ", FormatFigure(table.subject, cell.median), more.empty() ? "" : " (", more,
                      more.empty() ? "" : ")", " |");
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string ToMarkdown(const Page& page) {
  std::string text = absl::StrCat("# ", kTitle, "\n\n", kReading, "\n\n");
  if (!page.note.empty()) absl::StrAppend(&text, page.note, "\n\n");
  for (const Section& section : page.sections) {
    const Subject& subject = section.table.subject;
    absl::StrAppend(&text, "## ", subject.title, "\n", subject.sentence, subject.sentence.empty() ? "" : " ",
                    "(`", subject.name, "`)\n\n", MarkdownTable(section.table), "\n");
  }
  if (!page.verdicts.empty()) text += MarkdownGoals(page);
  text += "## What it was measured on\n\n";
  for (const auto& [name, value] : page.context) {
    if (const std::string shown = ContextText(name, value); !shown.empty()) {
      absl::StrAppend(&text, "- ", ContextName(name), ": ", shown, "\n");
    }
  }
  return text;
}

std::string ToHtml(const Page& page) {
  std::string text = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" "
      "href=\"data:,\">\n"
      "<title>",
      kTitle, "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n<h1>", kTitle, "</h1>\n<p>", kReading,
      "</p>\n");
  if (!page.note.empty()) absl::StrAppend(&text, "<p>", Escaped(page.note), "</p>\n");
  text += "<nav><ul>\n";
  for (const Section& section : page.sections) {
    absl::StrAppend(&text, "<li><a href=\"#", section.table.subject.name, "\">",
                    Escaped(section.table.subject.title), "</a></li>\n");
  }
  if (!page.verdicts.empty()) {
    absl::StrAppend(&text, "<li><a href=\"#goals\">", kGoalsTitle, "</a></li>\n");
  }
  text += "<li><a href=\"#machine\">What it was measured on</a></li>\n</ul></nav>\n";
  for (const Section& section : page.sections) {
    const Subject& subject = section.table.subject;
    absl::StrAppend(&text, "<section>\n<h2 id=\"", subject.name, "\">", Escaped(subject.title), "</h2>\n<p>",
                    Escaped(subject.sentence), " <span class=\"soft\">(", Escaped(subject.name),
                    ")</span></p>\n");
    for (const Section::Drawing& drawing : section.drawings) {
      absl::StrAppend(&text, "<figure>", drawing.svg, "<figcaption>", Escaped(drawing.title),
                      "</figcaption></figure>\n");
    }
    absl::StrAppend(&text, HtmlTable(section.table), "</section>\n");
  }
  if (!page.verdicts.empty()) text += HtmlGoals(page);
  absl::StrAppend(&text, "<h2 id=\"machine\">What it was measured on</h2>\n", ContextTable(page),
                  "</body>\n</html>\n");
  return text;
}

}  // namespace ko::benchmarks
