#include "ko/process/flush_output.h"

#include <cstdio>
#include <iostream>

namespace ko {

void FlushOutput() {
  std::fflush(nullptr);
  // These have a buffer of their own after sync_with_stdio(false).
  std::cout.flush();
  std::clog.flush();
  std::wcout.flush();
  std::wclog.flush();
}

}  // namespace ko
