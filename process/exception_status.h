#ifndef KO_PROCESS_EXCEPTION_STATUS_H_
#define KO_PROCESS_EXCEPTION_STATUS_H_

#include "absl/status/status.h"

namespace ko {

// In a catch block: the exception as a status, with its what().
absl::Status StatusOfCurrentException();

}  // namespace ko

#endif  // KO_PROCESS_EXCEPTION_STATUS_H_
