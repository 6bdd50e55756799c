#include "ko/process/fork_hook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ko/process/exec.h"
#include "ko/process/fork.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ForkHookTest : public testing::LeakCheckedTest {
 protected:
  // A hook that notes its steps under a name.
  ForkHook::Steps Notes(const std::string& name) {
    return {.before = [this, name] { notes_.push_back(name + " before"); },
            .in_parent = [this, name] { notes_.push_back(name + " in parent"); },
            .in_child = [this, name] { notes_.push_back(name + " in child"); }};
  }
  void ForkAndWait() {
    absl::StatusOr<Child> child = Fork([] {});
    ASSERT_THAT(child, IsOk());
    EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  }

  std::vector<std::string> notes_;
};

TEST_F(ForkHookTest, StepsRunInOrderOnBothSides) {
  const ForkHook first(Notes("1")), second(Notes("2"));
  absl::StatusOr<Child> child =
      Fork([this] { EXPECT_THAT(notes_, ElementsAre("2 before", "1 before", "1 in child", "2 in child")); });
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(notes_, ElementsAre("2 before", "1 before", "1 in parent", "2 in parent"));
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(ForkHookTest, StepsMayBeMissingAndAHookThatIsGoneIsNotRun) {
  const ForkHook none({});
  {
    const ForkHook some({.before = [this] { notes_.push_back("before"); }});
    ForkAndWait();
  }
  ForkAndWait();
  EXPECT_THAT(notes_, ElementsAre("before"));
}

TEST_F(ForkHookTest, ChildsOwnForksRunThemToo) {
  const ForkHook hook(Notes("hook"));
  absl::StatusOr<Child> child = Fork([this] {
    notes_.clear();
    const ForkHook own(Notes("own"));
    ForkAndWait();
    EXPECT_THAT(notes_, ElementsAre("own before", "hook before", "hook in parent", "own in parent"));
  });
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(ForkHookTest, ThreadThatIsStoppedForTheForkIsNoHindrance) {
  std::optional<testing::Gate> gate;
  std::thread thread;
  const auto start = [&] {
    gate.emplace();
    thread = std::thread([&] { gate->Pass(); });
  };
  const auto stop = [&] {
    gate->Open();
    thread.join();
    gate.reset();
  };
  start();
  {
    const ForkHook hook({.before = stop, .in_parent = start});
    for (int i = 0; i < 20; ++i) ForkAndWait();
  }
  EXPECT_THAT(Fork([] {}), StatusIs(absl::StatusCode::kFailedPrecondition,
                                    AllOf(HasSubstr("other threads"), HasSubstr("ForkHook"),
                                          HasSubstr("allow_threads"), HasSubstr("Exec"))));
  stop();
}

TEST_F(ForkHookTest, ParentsStepRunsWhereThereIsNoForkAfterAll) {
  InChild([this] {
    const ForkHook hook(Notes("hook"));
    testing::FailFork(EAGAIN);
    EXPECT_FALSE(Fork([] {}).ok());
    EXPECT_THAT(notes_, ElementsAre("hook before", "hook in parent"));
  });
}

TEST_F(ForkHookTest, SignalsAreOpenInTheParentAndBlockedInTheChild) {
  const uint64_t open = testing::SignalSet(::getpid(), "SigBlk");
  std::vector<uint64_t> seen;
  const auto look = [&] { seen.push_back(testing::SignalSet(::getpid(), "SigBlk")); };
  const ForkHook hook({.before = look, .in_parent = look, .in_child = look});
  absl::StatusOr<Child> child = Fork([&] {
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_NE(seen[1] & (1u << (SIGTERM - 1)), 0u);
  });
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(seen, ElementsAre(open, open));
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(ForkHookTest, ForkByAHookIsRefused) {
  std::vector<absl::StatusCode> codes;
  const auto fork = [&] { codes.push_back(Fork([] {}).status().code()); };
  const ForkHook hook({.before = fork, .in_parent = fork, .in_child = fork});
  absl::StatusOr<Child> child = Fork([&] {
    EXPECT_THAT(codes,
                ElementsAre(absl::StatusCode::kFailedPrecondition, absl::StatusCode::kFailedPrecondition));
  });
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(codes,
              ElementsAre(absl::StatusCode::kFailedPrecondition, absl::StatusCode::kFailedPrecondition));
}

TEST_F(ForkHookTest, ExecRunsNone) {
  const ForkHook hook(Notes("hook"));
  EXPECT_THAT(Exec({.argv = {"true"}})->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_TRUE(notes_.empty());
}

TEST_F(ForkHookTest, ThreadsMayForkAtOnceEachWithItsOwnRunOfTheHooks) {
  int depth = 0, runs = 0;  // unguarded: one fork at a time runs hooks
  const ForkHook hook({.before = [&] { EXPECT_EQ(++depth, 1); },
                       .in_parent =
                           [&] {
                             --depth;
                             ++runs;
                           }});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 10; ++i) {
        absl::StatusOr<Child> child = Fork([] { ::_exit(3); }, {.allow_threads = true});
        ASSERT_THAT(child, IsOk());
        EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(runs, 40);
}

}  // namespace
}  // namespace ko
