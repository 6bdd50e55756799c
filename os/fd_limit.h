#ifndef KO_OS_FD_LIMIT_H_
#define KO_OS_FD_LIMIT_H_

#include <sys/resource.h>

#include <optional>

namespace ko::os {

// This process's limit of open descriptors, raised to what the kernel allows (the hard limit) when it gets
// close. Threads: one at a time. Fork: children inherit the raised limit until they call Restore. Signals,
// crash: none.
class FdLimit {
 public:
  // To be told the newest descriptor: the lowest free number, hence how many are open. Looks at the limit where there has been
  // none as high.
  void MakeRoomBeyond(int fd);
  // Raises it now; false where it is as high as it may be.
  bool Raise();
  // Gives the process the limit that it had before the first raise.
  void Restore();
  // That limit, where it was raised.
  std::optional<rlimit> original() const { return raised_ ? std::optional(original_) : std::nullopt; }

 private:
  rlimit original_ = {};
  bool raised_ = false;
  int highest_ = -1;  // descriptor that there was room beyond
};

}  // namespace ko::os

#endif  // KO_OS_FD_LIMIT_H_
