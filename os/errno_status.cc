#include "ko/os/errno_status.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace ko::os {

std::string ErrnoText(int error_number) {
  const char* text = ::strerrordesc_np(error_number);
  const char* name = ::strerrorname_np(error_number);
  if (text == nullptr || name == nullptr) return absl::StrCat("unknown error [", error_number, "]");
  return absl::StrCat(text, " [", name, "]");
}

absl::Status ErrnoStatus(int error_number, std::string_view operation, std::string_view object) {
  const std::string text = ErrnoText(error_number);
  return absl::Status(absl::ErrnoToStatusCode(error_number),
                      object.empty() ? absl::StrCat(operation, ": ", text)
                                     : absl::StrCat(operation, "(", object, "): ", text));
}

}  // namespace ko::os
