#ifndef KO_PROCESS_CHILD_REPORT_H_
#define KO_PROCESS_CHILD_REPORT_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "ko/process/exit_status.h"

namespace ko {

// What a forked child tells its parent beside its exit code, in a page that the two share: the stage at which
// its start failed, or the status or exception that ended its body. Zeroed memory is the empty report.
//
// Crash: a child may die anywhere in the writing; `kind` is stored last, so the parent sees the whole report
// or none. What the parent reads is checked: a child may have scribbled over the page.
class ChildReport {
 public:
  static constexpr size_t kBytes = 4096;

  // In the child. Each may be called once.
  void StartFailed(const char* stage, int error_number);
  void BodyFailed(const absl::Status& reason);

  // In the parent, after the child's end: the status with what the child reported.
  ExitStatus Complete(ExitStatus status) const;

  bool empty() const { return kind_.load(std::memory_order_relaxed) == kNothing; }

  // In the parent: it is empty again.
  void Clear() { kind_.store(kNothing, std::memory_order_relaxed); }

 private:
  enum Kind : uint32_t { kNothing, kStartFailed, kBodyFailed };
  static constexpr size_t kTextBytes = kBytes - 16;

  void Write(Kind kind, int32_t code, std::string_view text);

  std::atomic<uint32_t> kind_;
  int32_t code_;  // the errno or the absl::StatusCode
  uint32_t text_bytes_;
  char text_[kTextBytes];
};
static_assert(sizeof(ChildReport) <= ChildReport::kBytes);

}  // namespace ko

#endif  // KO_PROCESS_CHILD_REPORT_H_
