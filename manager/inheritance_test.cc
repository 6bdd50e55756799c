#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ko/manager/process_manager.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

// What a child has of its parent's manager: nothing but what it is given.

namespace ko {
namespace {

using testing::CountDescriptors;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class InheritanceTest : public testing::LeakCheckedTest {};

void SleepForEver(Self& self) {
  while (!self.ShouldShutdown()) self.Sleep(absl::InfiniteDuration());
}

// How many descriptors a child has, and one that the child starts by the same manager, beside so many siblings.
std::vector<int> DescriptorsBeside(int siblings, bool are_commands) {
  ProcessManager manager;
  for (int i = 0; i < siblings; ++i) {
    if (are_commands) {
      manager.Spawn(Command{.argv = {"/bin/sleep", "1000"}, .stdout_to = Stdio::Pipe()});
    } else {
      manager.Spawn(SleepForEver, {}, {.stop = StopPlan{.target = StopTarget::kTree}});
    }
  }
  Process child = manager.Fork([&](Self& self) {
    self["child"] = CountDescriptors();
    Process brother = manager.Fork(SleepForEver);
    Process grandchild = manager.Fork([](Self& inner) { inner["own"] = CountDescriptors(); });
    if (!grandchild.Wait().ok()) return 1;
    self["grandchild"] = grandchild["own"].Get<int>().value_or(-1);
    return brother.Stop().ok() ? 0 : 2;
  });
  EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(manager.Shutdown({.signal = SIGKILL}), IsOk());
  return {child["child"].Get<int>().value_or(-1), child["grandchild"].Get<int>().value_or(-1)};
}

TEST_F(InheritanceTest, ChildHasNoDescriptorOfItsSiblings) {
  const std::vector<int> alone = DescriptorsBeside(0, false);
  EXPECT_GT(alone[0], 3);
  EXPECT_EQ(DescriptorsBeside(20, false), alone);
  EXPECT_EQ(DescriptorsBeside(20, true), alone);
}

TEST_F(InheritanceTest, ChildHasNoDescriptorOfThoseWhoHaveEnded) {
  ProcessManager manager;
  for (int i = 0; i < 5; ++i) ASSERT_THAT(manager.Fork([] {}).Wait(), IsOk());
  // The numbers that theirs had are others' now, and stay open.
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  EXPECT_THAT(manager.Fork([&] { return ::write(pipe[1], "x", 1) == 1 ? 0 : 1; }).Wait(),
              IsOkAndHolds(ExitStatus::Exited(0)));
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_F(InheritanceTest, MemoriesOfAChildsChildrenAreNotThoseOfItsLaterSiblings) {
  ProcessManager manager;
  Process child = manager.Fork([&](Self& self) {
    Process inner = manager.Fork([](Self& self) { self["of"] = "the child's child"; });
    inner.Wait().IgnoreError();
    self.NotifyReady();
    SleepForEver(self);
    return inner["of"] == "the child's child" ? 0 : 1;
  });
  ASSERT_THAT(child.WaitReady(), IsOk());
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(manager.Fork([](Self& self) { return self.shared_memory().empty() ? 0 : 1; }).Wait(),
                IsOkAndHolds(ExitStatus::Exited(0)));
  }
  EXPECT_THAT(child.Stop(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(InheritanceTest, HandleOfASiblingDoesNothing) {
  ProcessManager manager;
  Process sibling = manager.Fork(SleepForEver);
  Process child = manager.Fork([&] {
    EXPECT_THAT(sibling.Kill(SIGKILL), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(sibling.Wait(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(sibling.Stop(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_EQ(manager.size(), 0u);
    EXPECT_FALSE(manager.IsShuttingDown());
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_TRUE(sibling.IsAlive());
  EXPECT_THAT(sibling.Stop(), IsOkAndHolds(ExitStatus::Exited(0)));
}

// Handles and managers that a body holds by value are destroyed in the child, or not at all, without harm.
TEST_F(InheritanceTest, ManagerMovedIntoABodyIsTheChildsToDrop) {
  ProcessManager manager;
  ProcessManager other;
  Process sibling = other.Fork(SleepForEver);
  auto held = std::make_shared<ProcessManager>(std::move(other));
  Process child = manager.Fork([held, sibling]() mutable {
    sibling = Process();
    held.reset();
    return 0;
  });
  EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_TRUE(sibling.IsAlive());
  EXPECT_THAT(sibling.Stop(), IsOkAndHolds(ExitStatus::Exited(0)));
}

// A body whose manager has gone goes on with what it holds.
TEST_F(InheritanceTest, ManagerOfARunningBodyIsTheChildsToDrop) {
  auto manager = std::make_unique<ProcessManager>();
  const auto run = [&](bool in_a_thread, bool replaced) {
    return manager->Fork([&manager, in_a_thread, replaced, held = std::vector<int>(1000, 7)] {
      const auto drop = [&] {
        if (replaced) *manager = ProcessManager();
        manager.reset();
      };
      if (in_a_thread) {
        std::thread(drop).join();
      } else {
        drop();
      }
      return std::accumulate(held.begin(), held.end(), 0) == 7000 ? 0 : 1;
    });
  };
  for (const bool in_a_thread : {false, true}) {
    for (const bool replaced : {false, true}) {
      EXPECT_THAT(run(in_a_thread, replaced).Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
    }
  }
}

TEST_F(InheritanceTest, ManagersOfAllBodiesThatRunAreAGrandchildsToDrop) {
  auto manager = std::make_unique<ProcessManager>();
  Process child = manager->Fork([&manager, held = std::vector<int>(1000, 7)] {
    ProcessManager inner;
    const absl::StatusOr<ExitStatus> status =
        inner
            .Fork([&] {
              manager.reset();
              inner = ProcessManager();
              return std::accumulate(held.begin(), held.end(), 0) - 7000;
            })
            .Wait();
    return status.ok() && status->ok() ? 0 : 1;
  });
  EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

}  // namespace
}  // namespace ko
