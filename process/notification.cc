#include "ko/process/notification.h"

#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ko {
namespace {

// Whether `text` is UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t offset) { return static_cast<unsigned char>(text[i + offset]); };
    const unsigned char first = byte(0);
    const size_t size = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
    if (size == 0 || text.size() - i < size) return false;
    for (size_t offset = 1; offset < size; ++offset) {
      if ((byte(offset) & 0xC0) != 0x80) return false;
    }
    if (size > 2) {
      const int start = first << 8 | byte(1);
      if ((start >= 0xE000 && start < 0xE0A0) || (start >= 0xEDA0 && start < 0xEE00) ||
          (start >= 0xF000 && start < 0xF090) || start >= 0xF490) {
        return false;
      }
    }
    i += size;
  }
  return true;
}

// Digits alone, of a number from 1 to `max`.
std::optional<int64_t> ParsePositive(std::string_view text, int64_t max) {
  int64_t number;
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  if (!absl::SimpleAtoi(text, &number) || number < 1 || number > max) return std::nullopt;
  return number;
}

void TakeLine(std::string_view line, Notification& notification) {
  if (line == "READY=1" || line == "STOPPING=1") {
    notification.ready = line == "READY=1";
    notification.stopping = !notification.ready;
  } else if (line == "WATCHDOG=1") {
    notification.watchdog = true;
  } else if (line == "WATCHDOG=trigger") {
    notification.watchdog_trigger = true;
  } else if (absl::ConsumePrefix(&line, "STATUS=")) {
    if (IsUtf8(line)) notification.status = std::string(line);
  } else if (absl::ConsumePrefix(&line, "MAINPID=")) {
    if (auto pid = ParsePositive(line, std::numeric_limits<pid_t>::max())) notification.main_pid = pid;
  } else if (absl::ConsumePrefix(&line, "EXTEND_TIMEOUT_USEC=")) {
    if (auto usec = ParsePositive(line, std::numeric_limits<int64_t>::max())) {
      notification.extend_timeout = absl::Microseconds(*usec);
    }
  }
}

}  // namespace

std::optional<Notification> ParseNotification(std::string_view message) {
  if (message.size() > kMaxNotificationBytes) return std::nullopt;
  absl::ConsumeSuffix(&message, std::string_view("\0", 1));
  if (message.empty() || absl::StrContains(message, '\0')) return std::nullopt;
  Notification notification;
  for (std::string_view line : absl::StrSplit(message, '\n')) TakeLine(line, notification);
  return notification;
}

}  // namespace ko
