#include "ko/process/child_report.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace ko {

void ChildReport::StartFailed(const char* stage, int error_number) {
  Write(kStartFailed, error_number, stage);
}

void ChildReport::BodyFailed(const absl::Status& reason) {
  Write(kBodyFailed, static_cast<int32_t>(reason.code()), reason.message());
}

void ChildReport::Write(Kind kind, int32_t code, std::string_view text) {
  code_ = code;
  text_bytes_ = static_cast<uint32_t>(std::min(text.size(), kTextBytes));
  std::memcpy(text_, text.data(), text_bytes_);
  kind_.store(kind, std::memory_order_release);  // pairs with the load in Complete
}

ExitStatus ChildReport::Complete(ExitStatus status) const {
  // Nothing is reported then, and a page that nobody has touched costs no memory.
  if (status.ok()) return status;
  const uint32_t kind = kind_.load(std::memory_order_acquire);  // pairs with the store in Write
  if (kind == kNothing) return status;
  std::string text(text_, std::min<size_t>(text_bytes_, kTextBytes));
  if (kind == kStartFailed) return ExitStatus::NotStarted(code_, std::move(text));
  if (kind == kBodyFailed && status.exit_code().has_value() && !status.ok()) {
    return status.WithReason(absl::Status(static_cast<absl::StatusCode>(code_), text));
  }
  return status;
}

}  // namespace ko
