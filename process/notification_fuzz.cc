#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "ko/process/notification.h"

// A message of sd_notify(3) from any process: nothing, or values that keep what the header says of them.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  const std::optional<ko::Notification> told = ko::ParseNotification(message);
  if (!told.has_value()) return 0;
  const bool sound = size > 0 && size <= ko::kMaxNotificationBytes && !(told->ready && told->stopping) &&
                     message.find(told->status) != message.npos &&
                     told->status.find('\n') == told->status.npos && told->main_pid.value_or(1) > 0 &&
                     told->extend_timeout.value_or(absl::Seconds(1)) > absl::ZeroDuration();
  if (!sound) std::abort();
  return 0;
}
