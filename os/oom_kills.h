#ifndef KO_OS_OOM_KILLS_H_
#define KO_OS_OOM_KILLS_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "ko/os/unique_fd.h"

namespace ko::os {

// How many processes the kernel has killed for want of memory in the cgroup that this process is in when it is
// opened (memory.events of version 2, memory.oom_control of version 1).
//
// Threads: any. Fork: a child reads the same counter. Signals, crash: none. Errors: none; where the kernel does
// not tell there is no number.
class OomKills {
 public:
  static OomKills Open();

  std::optional<uint64_t> Count() const;
  int fd() const { return fd_.get(); }  // -1 where there is no such counter

 private:
  UniqueFd fd_;
};

// The number after "oom_kill" in the text of either file. Pure.
std::optional<uint64_t> ParseOomKills(std::string_view text);

}  // namespace ko::os

#endif  // KO_OS_OOM_KILLS_H_
