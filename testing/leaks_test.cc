#include "ko/testing/leaks.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "ko/testing/in_child.h"
#include "ko/testing/process_state.h"

namespace ko::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// What a child reports that was as now before `change`.
template <class Change>
std::string ChangesOf(Change change) {
  return InChild([&change] {
           const ResourceSnapshot before = ResourceSnapshot::Take();
           change();
           return ResourceSnapshot::Take().ChangesSince(before);
         })
      .value;
}

TEST(ResourceSnapshot, NothingChangesByTakingIt) {
  EXPECT_EQ(ChangesOf([] {}), "");
}

TEST(ResourceSnapshot, NamesAnFdThatIsNewAndOneThatIsGone) {
  EXPECT_THAT(ChangesOf([] { EXPECT_EQ(::open("/dev/full", O_RDONLY) < 0, false); }),
              HasSubstr("/dev/full is new"));
  EXPECT_THAT(ChangesOf([] { ::close(0); }), AllOf(HasSubstr("fd 0"), HasSubstr("is gone")));
}

TEST(ResourceSnapshot, NamesALivingChildAndAZombie) {
  EXPECT_THAT(ChangesOf([] {
                const pid_t parent = ::getpid();
                if (::fork() == 0) {
                  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                  if (::getppid() == parent) ::pause();
                  ::_exit(0);
                }
              }),
              AllOf(HasSubstr("child "), HasSubstr("is new")));
  EXPECT_THAT(ChangesOf([] {
                const pid_t pid = ::fork();
                if (pid == 0) ::_exit(0);
                AwaitState(pid, 'Z');
              }),
              AllOf(HasSubstr("child "), HasSubstr("is new")));
}

TEST(ResourceSnapshot, NamesASharedMapping) {
  EXPECT_THAT(ChangesOf([] { ::mmap(nullptr, 1, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0); }),
              HasSubstr("anonymous shared mappings"));
}

TEST(ResourceSnapshot, NamesSignalsAndSettings) {
  EXPECT_THAT(ChangesOf([] { ::signal(SIGUSR1, SIG_IGN); }), HasSubstr("SigIgn"));
  EXPECT_THAT(ChangesOf([] { ::signal(SIGUSR1, [](int) {}); }), HasSubstr("SigCgt"));
  EXPECT_THAT(ChangesOf([] {
                sigset_t set;
                ::sigemptyset(&set);
                ::sigaddset(&set, SIGUSR1);
                ::sigprocmask(SIG_BLOCK, &set, nullptr);
              }),
              HasSubstr("SigBlk"));
  EXPECT_THAT(ChangesOf([] { EXPECT_EQ(::chdir("/proc"), 0); }), HasSubstr("working directory: /proc"));
  EXPECT_THAT(ChangesOf([] { ::umask(0123); }), HasSubstr("Umask: 0123"));
}

}  // namespace
}  // namespace ko::testing
