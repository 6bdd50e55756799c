#include "ko/process/flush_output.h"

#include <dlfcn.h>
#include <sys/single_threaded.h>

#include <cstdio>
#include <iostream>
#include <typeinfo>

#include "ko/os/child_code.h"

#if defined(__GLIBCXX__) && defined(__cpp_rtti)
#include <ext/stdio_sync_filebuf.h>
#endif

namespace ko {
namespace {

// Whether it hands all that it gets to stdio at once, as those of the standard streams do at first. In a new process flushing
// four such streams, which does nothing, costs a tenth of a fork: the first touch of the library's pages.
template <class Char>
bool IsUnbuffered([[maybe_unused]] const std::basic_streambuf<Char>* buffer) {
#if defined(__GLIBCXX__) && defined(__cpp_rtti)
  return buffer == nullptr || typeid(*buffer) == typeid(__gnu_cxx::stdio_sync_filebuf<Char>);
#else
  return false;
#endif
}

// One of the standard streams, which live as long as the process, as do the buffers that they have before a program gives them
// others.
template <class Char>
class Stream {
 public:
  explicit Stream(std::basic_ostream<Char>& stream)
      : stream_(stream),
        state_(stream),
        unbuffered_(IsUnbuffered(stream.rdbuf()) ? stream.rdbuf() : nullptr) {}

  // Where the buffer is still what it was when this was made, a new process touches nothing beside the stream for it.
  void Flush() const {
    const std::basic_streambuf<Char>* const buffer = state_.rdbuf();
    if (buffer != unbuffered_ && !IsUnbuffered(buffer)) stream_.flush();
  }

 private:
  std::basic_ostream<Char>& stream_;
  const std::basic_ios<Char>& state_;  // its virtual base; where that lies is written in the library's memory
  const std::basic_streambuf<Char>* const unbuffered_;
};

struct StandardStreams {
  const Stream<char> out{std::cout}, log{std::clog};
  const Stream<wchar_t> wide_out{std::wcout}, wide_log{std::wclog};
};

#ifdef __GLIBC__
// Where the C library keeps the first of its streams, each of which names the next one; null where it does not tell.
const FILE* const* FindStreams() {
  static const auto* const first = static_cast<const FILE* const*>(::dlsym(RTLD_DEFAULT, "_IO_list_all"));
  return first;
}

// Whether there is anything to do for fflush(nullptr). To call it for nothing costs a new process the first touch of two
// places in the library's code, and both sides of a fork the copy of the page with the lock of its list.
KO_CHILD_CODE bool MayHoldOutput() {
  // Another thread may open or close a stream meanwhile, or have held the loader's lock when this process was forked.
  if (!__libc_single_threaded) return true;
  const FILE* const* const streams = FindStreams();
  if (streams == nullptr) return true;
  for (const FILE* stream = *streams; stream != nullptr; stream = stream->_chain) {
    const bool is_wide = stream->_mode > 0;                               // whose buffer is hidden
    const bool has_input = stream->_IO_read_ptr != stream->_IO_read_end;  // to be given back, in newer ones
    const bool has_output = stream->_IO_write_ptr != stream->_IO_write_base;
    if (is_wide || has_input || has_output) return true;
  }
  return false;
}
#else
bool MayHoldOutput() { return true; }
#endif

}  // namespace

KO_CHILD_CODE void FlushOutput() {
  if (MayHoldOutput()) std::fflush(nullptr);
  // These have a buffer of their own after sync_with_stdio(false), and where the program gave them one.
  static const StandardStreams streams;
  streams.out.Flush();
  streams.log.Flush();
  streams.wide_out.Flush();
  streams.wide_log.Flush();
}

}  // namespace ko
