// A shared library that registers a handler with the C library, for c_library_fork_test.

#include <pthread.h>

extern "C" {
int forked_times = 0;
}

namespace {

[[maybe_unused]] const int registered = ::pthread_atfork(nullptr, nullptr, [] { ++forked_times; });

}  // namespace
