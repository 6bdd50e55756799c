#include "ko/testing/gate.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "ko/os/errno_status.h"

namespace ko::testing {

Gate::Gate() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) {
    std::perror("Gate: pipe2");
    std::abort();
  }
  waiter_.reset(fds[0]);
  opener_.reset(fds[1]);
}

void Gate::Open() {
  const char byte = 1;
  if (os::RetryEintr([&] { return ::write(opener_.get(), &byte, 1); }) != 1) std::abort();
}

bool Gate::Pass() {
  char byte;
  return os::RetryEintr([&] { return ::read(waiter_.get(), &byte, 1); }) == 1;
}

}  // namespace ko::testing
