#ifndef KO_DEMOS_WORKERS_PROGRESS_H_
#define KO_DEMOS_WORKERS_PROGRESS_H_

#include <cstddef>
#include <string>

#include "absl/time/time.h"

namespace ko::demos {

struct ProgressFigures {
  size_t done = 0;
  size_t failed = 0;  // of those done
  size_t total = 0;
  size_t workers_alive = 0;
  int restarts = 0;
};

// Shows how far the work is, on standard error: a line that is drawn again and again on a terminal, else a line of its own
// every few seconds.
class Progress {
 public:
  Progress();

  // Draws if it is time to.
  void Show(const ProgressFigures& figures);
  // Leaves the terminal's line empty.
  void Clear();

 private:
  std::string Line(const ProgressFigures& figures) const;

  const bool is_terminal_;
  const absl::Time start_;
  absl::Time next_;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_PROGRESS_H_
