#include "ko/os/file_size_signal.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "ko/os/unique_fd.h"
#include "ko/testing/in_child.h"
#include "ko/testing/process_state.h"

namespace ko::os {
namespace {

using testing::InChild;

constexpr uint64_t kBit = uint64_t{1} << (SIGXFSZ - 1);

void SetLimit(rlim_t bytes) {
  const rlimit limit = {bytes, RLIM_INFINITY};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(FileSizeSignal, FileOverTheLimitIsAnErrorAndNoSignal) {
  const testing::InChildResult result = InChild([] {
    const UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
    SetLimit(100);
    errno = 0;
    const int grown = GrowFile([&] { return ::ftruncate(file.get(), 101); });
    const int error_number = errno;
    SetLimit(RLIM_INFINITY);  // what this child says of itself is written to a file
    EXPECT_EQ(grown, -1);
    EXPECT_EQ(error_number, EFBIG);
    EXPECT_EQ(GrowFile([&] { return ::ftruncate(file.get(), 101); }), 0);
    EXPECT_EQ(testing::SignalSet(::getpid(), "SigPnd") & kBit, 0u);
    EXPECT_EQ(testing::SignalSet(::getpid(), "SigBlk") & kBit, 0u);
  });
  EXPECT_TRUE(result.ok());
}

TEST(FileSizeSignal, OneThatWasPendingStaysPending) {
  const testing::InChildResult result = InChild([] {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGXFSZ);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    ::raise(SIGXFSZ);
    const UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
    EXPECT_EQ(GrowFile([&] { return ::ftruncate(file.get(), 100); }), 0);
    EXPECT_NE(testing::SignalSet(::getpid(), "SigPnd") & kBit, 0u);
    EXPECT_NE(testing::SignalSet(::getpid(), "SigBlk") & kBit, 0u);
  });
  EXPECT_TRUE(result.ok());
}

}  // namespace
}  // namespace ko::os
