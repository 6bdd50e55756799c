#ifndef KO_OS_ERRNO_STATUS_H_
#define KO_OS_ERRNO_STATUS_H_

#include <cerrno>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ko::os {

// The one place where errno becomes a status: "OPERATION(OBJECT): text of the error [ENAME]", without the
// parentheses where there is no object. The code is Abseil's canonical one for the errno
// (absl::ErrnoToStatusCode).
absl::Status ErrnoStatus(int error_number, std::string_view operation, std::string_view object = {});

// "Resource temporarily unavailable [EAGAIN]".
std::string ErrnoText(int error_number);

// Calls `call` again as long as it fails with EINTR.
template <class Call>
auto RetryEintr(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

}  // namespace ko::os

#endif  // KO_OS_ERRNO_STATUS_H_
