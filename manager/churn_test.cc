#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ko/manager/process_manager.h"
#include "ko/testing/gate.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Very many children of one manager, one after another: nothing of them adds up.

namespace ko {
namespace {

using testing::IsOk;
using testing::IsOkAndHolds;
using testing::ResourceSnapshot;

class ChurnTest : public testing::LeakCheckedTest {};

TEST_F(ChurnTest, TenThousandOneAfterAnotherLeaveNothing) {
  ProcessManager manager;
  ASSERT_THAT(manager.Fork([] {}).Wait(), IsOk());
  const ResourceSnapshot before = ResourceSnapshot::Take();
  for (int i = 0; i < testing::Rounds(10'000); ++i)
    ASSERT_THAT(manager.Fork([] {}).Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(ResourceSnapshot::Take().ChangesSince(before), "");
}

TEST_F(ChurnTest, ThreeHundredAtATimeLeaveNothing) {
  ProcessManager manager;
  ASSERT_THAT(manager.Fork([] {}).Wait(), IsOk());
  testing::Gate gate;
  ResourceSnapshot before = ResourceSnapshot::Take();
  for (int round = 0; round < testing::Rounds(20) / 5 + 2; ++round) {
    int successes = 0;
    for (int i = 0; i < 300; ++i) manager.Fork([&](Self&) { gate.Pass(); }).OnSuccess([&] { ++successes; });
    EXPECT_EQ(manager.size(), 300u);
    for (int i = 0; i < 300; ++i) gate.Open();
    ASSERT_THAT(manager.Wait(), IsOk());
    EXPECT_EQ(successes, 300);
    if (round == 0) before = ResourceSnapshot::Take();  // with the pages of the control slots
  }
  EXPECT_EQ(ResourceSnapshot::Take().ChangesSince(before), "");
}

}  // namespace
}  // namespace ko
