#include "ko/process/flush_output.h"

#include <cstdio>
#include <iostream>
#include <typeinfo>

#include "ko/os/child_code.h"

#if defined(__GLIBCXX__) && defined(__cpp_rtti)
#include <ext/stdio_sync_filebuf.h>
#endif

namespace ko {
namespace {

// Whether the stream hands all that it gets to stdio at once, as the standard ones do at first. In a new process flushing
// four such streams, which does nothing, costs a tenth of a fork: the first touch of the library's pages.
template <class Char>
bool IsUnbuffered([[maybe_unused]] const std::basic_ostream<Char>& stream) {
#if defined(__GLIBCXX__) && defined(__cpp_rtti)
  const auto* const buffer = stream.rdbuf();
  return buffer == nullptr || typeid(*buffer) == typeid(__gnu_cxx::stdio_sync_filebuf<Char>);
#else
  return false;
#endif
}

template <class Char>
void Flush(std::basic_ostream<Char>& stream) {
  if (!IsUnbuffered(stream)) stream.flush();
}

}  // namespace

KO_CHILD_CODE void FlushOutput() {
  std::fflush(nullptr);
  // These have a buffer of their own after sync_with_stdio(false), and where the program gave them one.
  Flush(std::cout);
  Flush(std::clog);
  Flush(std::wcout);
  Flush(std::wclog);
}

}  // namespace ko
