#ifndef KO_POOL_PROGRESS_LINE_H_
#define KO_POOL_PROGRESS_LINE_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "ko/pool/pool_options.h"
#include "ko/pool/terminal_line.h"

namespace ko {

// Shows how far a Map is, on standard error, see TerminalLine; the line is cleared in the end:
//
//   pool.Map<&Parse>(paths, {.progress = ko::ProgressLine("files")});
//
// Threads: one. Fork: none. Signals: none. Crash: the line stays. Errors: none.
class ProgressLine {
 public:
  // What is counted: "files", say.
  explicit ProgressLine(std::string what);
  ProgressLine(ProgressLine&&) = default;
  ~ProgressLine() { line_.Clear(); }

  void operator()(const MapProgress& progress);

 private:
  std::string what_;
  absl::Duration start_;
  TerminalLine line_;
};

// "250 of 1000 files (25%), 1200 a second, 3 failed, 1 s left".
std::string ProgressText(const MapProgress& progress, std::string_view what, absl::Duration elapsed);

}  // namespace ko

#endif  // KO_POOL_PROGRESS_LINE_H_
