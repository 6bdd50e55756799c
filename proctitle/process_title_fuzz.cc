#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "ko/proctitle/process_title.h"

// A title of any bytes is got as it was set, and the kernel shows it, followed by a 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view title(reinterpret_cast<const char*>(data), size);
  if (!ko::SetProcessTitle(title).ok()) return 0;  // the kernel does not allow it here
  if (ko::GetProcessTitle() != title) std::abort();
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string shown((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (shown != std::string(title) + '\0') std::abort();
  return 0;
}
