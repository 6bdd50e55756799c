#include "ko/process/exception_status.h"

#include <exception>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"

namespace ko {

absl::Status StatusOfCurrentException() {
#ifdef ABSL_HAVE_EXCEPTIONS
  try {
    throw;
  } catch (const std::exception& exception) {
    return absl::UnknownError(absl::StrCat("exception: ", exception.what()));
  } catch (...) {
  }
#endif
  return absl::UnknownError("exception of a type that is no std::exception");
}

}  // namespace ko
