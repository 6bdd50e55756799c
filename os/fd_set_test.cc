#include "ko/os/fd_set.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"

namespace ko::os {
namespace {

using testing::InChild;

constexpr int kFirst = 100;  // above what a test has open
constexpr int kEnd = 400;

class FdSetTest : public testing::LeakCheckedTest {
 protected:
  static void OpenAll() {
    const int source = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int fd = kFirst; fd < kEnd; ++fd) ASSERT_EQ(::dup3(source, fd, O_CLOEXEC), fd);
    ::close(source);
  }
  static std::set<int> Open() {
    std::set<int> open;
    for (int fd = kFirst; fd < kEnd; ++fd) {
      if (::fcntl(fd, F_GETFD) >= 0) open.insert(fd);
    }
    return open;
  }
  static std::set<int> AllBut(const std::set<int>& closed) {
    std::set<int> all;
    for (int fd = kFirst; fd < kEnd; ++fd) {
      if (!closed.contains(fd)) all.insert(fd);
    }
    return all;
  }
};

TEST_F(FdSetTest, OneOfThemMayBeKept) {
  for (const int kept : {kFirst, 200, kEnd - 1}) {
    InChild([kept] {
      OpenAll();
      FdSet set;
      for (int fd = kFirst; fd < kEnd; ++fd) set.Add(fd);
      set.CloseAll(kept);
      EXPECT_EQ(Open(), std::set<int>({kept}));
    });
  }
}

TEST_F(FdSetTest, ThoseInItAreClosedAndNoOthers) {
  const std::set<int> kCases[] = {
      {},         {kFirst},        {127, 128}, {191},         {192},
      {kEnd - 1}, {101, 103, 105}, AllBut({}), AllBut({200}), AllBut({127, 128, 255, 256, 319}),
  };
  for (const std::set<int>& closed : kCases) {
    InChild([&closed] {
      OpenAll();
      FdSet set;
      for (const int fd : closed) set.Add(fd);
      set.CloseAll();
      EXPECT_EQ(Open(), AllBut(closed));
    });
  }
}

TEST_F(FdSetTest, RemovedOneStaysOpen) {
  InChild([] {
    OpenAll();
    FdSet set;
    for (int fd = 150; fd < 200; ++fd) set.Add(fd);
    set.Remove(170);
    for (const int never_there : {-1, 300, 1 << 20}) set.Remove(never_there);
    set.Add(-1);
    set.CloseAll();
    EXPECT_EQ(Open().count(170), 1u);
    EXPECT_EQ(Open().size(), static_cast<size_t>(kEnd - kFirst - 49));
  });
}

TEST_F(FdSetTest, KernelWithoutTheCallIsDoneWithout) {
  InChild([] {
    OpenAll();
    FdSet set;
    for (int fd = 150; fd < 200; ++fd) set.Add(fd);
    testing::FailSyscall(SYS_close_range, ENOSYS);
    set.CloseAll();
    EXPECT_EQ(Open().size(), static_cast<size_t>(kEnd - kFirst - 50));
  });
}

}  // namespace
}  // namespace ko::os
