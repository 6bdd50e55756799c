#ifndef KO_POOL_TERMINAL_LINE_H_
#define KO_POOL_TERMINAL_LINE_H_

#include <string_view>

#include "absl/time/time.h"

namespace ko {

// A line on standard error that tells how far something is: drawn again and again on a terminal, ten times a second; elsewhere
// a line of its own every five seconds.
//
//   ko::TerminalLine line;
//   while (Work()) {
//     if (line.IsDue()) line.Draw(absl::StrCat(done, " of ", total));
//   }
//
// Threads: one at a time. Fork: a child should draw none of its own. Signals: none. Crash: the line stays. Errors: none.
class TerminalLine {
 public:
  TerminalLine();

  bool IsDue() const;
  void Draw(std::string_view text);
  // Leaves a terminal's line empty.
  void Clear();

 private:
  bool is_terminal_;
  bool is_drawn_ = false;
  absl::Duration next_;
};

}  // namespace ko

#endif  // KO_POOL_TERMINAL_LINE_H_
