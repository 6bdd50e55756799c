#include "ko/os/thread_id.h"

#include <unistd.h>

#include <cstdint>

#include "ko/os/process_mark.h"

namespace ko::os {
namespace {

struct RememberedThread {
  uint64_t process_mark;
  pid_t id;
};
constinit thread_local RememberedThread remembered = {0, 0};

}  // namespace

pid_t ThreadId() {
  const uint64_t mark = ProcessMark();
  if (remembered.process_mark != mark) remembered = {mark, ::gettid()};
  return remembered.id;
}

}  // namespace ko::os
