#ifndef KO_DEMOS_WORKERS_PROGRESS_H_
#define KO_DEMOS_WORKERS_PROGRESS_H_

#include <cstddef>
#include <string>

#include "absl/time/time.h"
#include "ko/pool/terminal_line.h"

namespace ko::demos {

struct ProgressFigures {
  size_t done = 0;
  size_t failed = 0;  // of those done
  size_t total = 0;
  size_t workers_alive = 0;
  int restarts = 0;
};

// Shows how far the work is, on standard error.
class Progress {
 public:
  Progress();

  // Draws if it is time to.
  void Show(const ProgressFigures& figures);
  // Leaves the terminal's line empty.
  void Clear() { line_.Clear(); }

 private:
  std::string Line(const ProgressFigures& figures) const;

  const absl::Time start_;
  TerminalLine line_;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_PROGRESS_H_
