#include "ko/amqp/reconnect_policy.h"

#include <algorithm>

namespace ko {
namespace {

constexpr absl::Duration kFirst = absl::Milliseconds(50);
constexpr absl::Duration kLongest = absl::Seconds(5);
constexpr int kDoublings = 7;  // 50 ms * 2^7 is more than 5 s

}  // namespace

absl::Duration ReconnectDelay(int failures, double share) {
  if (failures <= 0) return absl::ZeroDuration();
  const absl::Duration full = std::min(kFirst * (1 << std::min(failures - 1, kDoublings)), kLongest);
  return full - full * 0.5 * std::clamp(share, 0.0, 1.0);
}

bool MayReconnect(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace ko
