#ifndef KO_OS_FD_SET_H_
#define KO_OS_FD_SET_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ko::os {

// Numbers of descriptors that somebody else owns, so that a forked child can close its copies of thousands without
// looking at their owners, whose memory it would have to copy for that. A value.
//
// Threads: one at a time. Fork: what it is for. Signals: none. Crash: none. Errors: none.
class FdSet {
 public:
  // Numbers below 0 are none.
  void Add(int fd);
  void Remove(int fd);

  // Closes all of them but `kept`, a system call for each run of numbers that follow each other; the numbers stay in it, so
  // that nothing is written. Async-signal-safe.
  void CloseAll(int kept = -1) const;

 private:
  bool Contains(size_t fd) const;

  std::vector<uint64_t> words_;  // a bit for each number
};

}  // namespace ko::os

#endif  // KO_OS_FD_SET_H_
