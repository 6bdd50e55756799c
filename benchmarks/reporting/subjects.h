#ifndef KO_BENCHMARKS_REPORTING_SUBJECTS_H_
#define KO_BENCHMARKS_REPORTING_SUBJECTS_H_

#include <string>
#include <string_view>

namespace ko::benchmarks {

// How a subject is told of. A value.
struct Subject {
  enum class Shows { kTime, kItems, kCounter };

  std::string name;
  std::string title;
  std::string sentence;  // what is measured, for someone who has not read the code
  std::string baseline;  // the contender that ratios refer to
  std::string x;         // the parameter along the axis; empty: bars
  std::string x_title;
  Shows shows = Shows::kTime;
  std::string counter = "";  // the counter that it shows, if it shows one
  int rank = 1000;           // in the report; the first two are its headlines
};

// One that is not known is told of by its name, beside whichever contender is the first.
Subject FindSubject(std::string_view name);

// Whether a contender is of this project; ours come first, and are marked.
bool IsOurs(std::string_view contender);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_SUBJECTS_H_
