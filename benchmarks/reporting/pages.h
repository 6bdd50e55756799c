#ifndef KO_BENCHMARKS_REPORTING_PAGES_H_
#define KO_BENCHMARKS_REPORTING_PAGES_H_

#include <string>
#include <vector>

#include "ko/benchmarks/reporting/goals.h"
#include "ko/benchmarks/reporting/json.h"
#include "ko/benchmarks/reporting/table.h"

namespace ko::benchmarks {

// A subject as it is shown.
struct Section {
  struct Drawing {
    std::string title;
    std::string svg;
  };
  Table table;
  std::vector<Drawing> drawings;
};

struct Page {
  Json::Object context = {};  // of the report: what it was measured on, and with
  std::vector<Section> sections;
  std::vector<Verdict> verdicts;  // on the goals; those that were not measured are left out
  std::string note;               // a sentence for the reader; may be empty
};

// Pure.
std::string ToMarkdown(const Page& page);
// One file: nothing is loaded from anywhere.
std::string ToHtml(const Page& page);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_PAGES_H_
