#ifndef KO_OS_STATUS_CODE_H_
#define KO_OS_STATUS_CODE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"

namespace ko::os {

// The code of a status that another process has sent as a number; none where there is no such code.
// Threads: any. Fork, signals, crash: nothing to say.
inline std::optional<absl::StatusCode> StatusCodeFrom(uint32_t number) {
  if (number > static_cast<uint32_t>(absl::StatusCode::kUnauthenticated)) return std::nullopt;
  return static_cast<absl::StatusCode>(number);
}

}  // namespace ko::os

#endif  // KO_OS_STATUS_CODE_H_
