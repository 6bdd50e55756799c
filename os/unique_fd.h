#ifndef KO_OS_UNIQUE_FD_H_
#define KO_OS_UNIQUE_FD_H_

#include <utility>

namespace ko::os {

// Owns a file descriptor and closes it.
//
// Threads: as an int. Fork: both processes own a copy, each closes its own. Signals: none. Crash: the kernel
// closes. Errors: none; close(2) is called once, whatever it answers.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

}  // namespace ko::os

#endif  // KO_OS_UNIQUE_FD_H_
