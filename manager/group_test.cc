#include "ko/manager/group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

constexpr absl::Duration kLong = absl::Seconds(50);
// Restarts at once, for ever.
RestartPolicy AtOnce() {
  return {.when = RestartPolicy::When::kAlways,
          .initial_delay = absl::ZeroDuration(),
          .max_delay = absl::ZeroDuration(),
          .max_restarts = RestartPolicy::kUnlimited};
}
RestartPolicy Never() { return {.when = RestartPolicy::When::kNever}; }
// Escalates at the first failure.
RestartPolicy EscalateAtOnce() {
  RestartPolicy policy = AtOnce();
  policy.max_restarts = 0;
  policy.at_limit = RestartPolicy::AtLimit::kEscalate;
  return policy;
}
RestartPolicy GiveUpAtOnce() {
  RestartPolicy policy = AtOnce();
  policy.max_restarts = 0;
  return policy;
}

class GroupTest : public testing::LeakCheckedTest {
 protected:
  GroupTest() {
    manager_->OnEvent([this](const ProcessEvent& event) {
      using Kind = ProcessEvent::Kind;
      if (event.kind == Kind::kStarted) log_.push_back(absl::StrCat("+", event.name));
      if (event.kind == Kind::kExited) log_.push_back(absl::StrCat("-", event.name));
      if (event.kind == Kind::kReady) log_.push_back(absl::StrCat("!", event.name));
      if (event.kind == Kind::kGroupRestarting) log_.push_back(absl::StrCat("~", event.name));
      if (event.kind == Kind::kGroupEnded) log_.push_back(absl::StrCat("x", event.name));
    });
  }
  void TearDown() override {
    manager_.reset();
    LeakCheckedTest::TearDown();
  }

  // Serves, and says so.
  static ProcessOptions Telling(std::string name) {
    return {.name = std::move(name), .ready = ReadyWhen::kNotified};
  }
  Process Serve(Group& group, std::string name, RestartPolicy policy = AtOnce()) {
    return group.Spawn(ServeUntilShutdown, std::move(policy), Telling(std::move(name)));
  }
  std::string TakeLog() { return absl::StrJoin(std::exchange(log_, {}), " "); }
  // Until `count` more entries have come.
  std::string AwaitLog(size_t count) {
    while (log_.size() < count) {
      const absl::StatusOr<int> some = manager_->Dispatch(kLong);
      if (!some.ok() || *some == 0) break;
    }
    return TakeLog();
  }

  std::optional<ProcessManager> manager_ = ProcessManager();
  std::vector<std::string> log_;
};

TEST_F(GroupTest, MembersStartInOrderEachWhenTheOneBeforeIsReady) {
  Group group = manager_->Group(Strategy::kOneForOne, {.name = "g"});
  for (const char* name : {"a", "b", "c"}) Serve(group, name);
  EXPECT_THAT(group.WaitReady(kLong), IsOk());
  EXPECT_EQ(TakeLog(), "+a !a +b !b +c !c");
  EXPECT_EQ(group.size(), 3u);
}

TEST_F(GroupTest, MembersThatTellNothingAreReadyWhenTheyRun) {
  Group group = manager_->Group(Strategy::kOneForOne);
  group.Spawn(SleepForEver, AtOnce(), {.name = "a"});
  group.Spawn(SleepForEver, AtOnce(), {.name = "b"});
  EXPECT_THAT(group.WaitReady(kLong), IsOk());
  EXPECT_EQ(TakeLog(), "+a +b");
}

TEST_F(GroupTest, StopIsInReverseOrderEachWhenTheOneAfterHasEnded) {
  Group group = manager_->Group(Strategy::kOneForAll, {.name = "g"});
  for (const char* name : {"a", "b", "c"}) Serve(group, name);
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  EXPECT_THAT(group.Stop(), IsOk());
  EXPECT_EQ(TakeLog(), "-c -b -a xg");
  EXPECT_FALSE(group.IsAlive());
  EXPECT_EQ(manager_->size(), 0u);
}

TEST_F(GroupTest, ShutdownStopsInReverseOrder) {
  Group group = manager_->Group(Strategy::kOneForOne, {.name = "g"});
  for (const char* name : {"a", "b"}) Serve(group, name);
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  EXPECT_THAT(manager_->Shutdown(), IsOk());
  EXPECT_EQ(TakeLog(), "-b -a xg");
}

TEST_F(GroupTest, MembersWhoseTurnHasNotComeAreCancelledByAStop) {
  Group group = manager_->Group(Strategy::kOneForOne, {.name = "g"});
  Process first = group.Spawn(SleepForEver, AtOnce(), Telling("a"));  // is never ready
  Process second = Serve(group, "b");
  EXPECT_TRUE(second.IsAlive());
  EXPECT_EQ(second.pid(), 0);
  EXPECT_THAT(group.Stop(), IsOk());
  EXPECT_THAT(second.Wait(kLong), IsOkAndHolds(ExitStatus::NotStarted(ECANCELED)));
  EXPECT_EQ(first.exit_status(), ExitStatus::Signaled(SIGTERM));
}

TEST_F(GroupTest, OneForOneRestartsOnlyTheOneThatDied) {
  Group group = manager_->Group(Strategy::kOneForOne);
  Serve(group, "a");
  Process b = Serve(group, "b");
  Serve(group, "c");
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(3), "-b +b !b");
}

TEST_F(GroupTest, OneForAllRestartsAllInOrder) {
  Group group = manager_->Group(Strategy::kOneForAll);
  Process a = Serve(group, "a");
  Process b = Serve(group, "b");
  Process c = Serve(group, "c");
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(9), "-b -c -a +a !a +b !b +c !c");
  EXPECT_EQ(a.restarts(), 1);
  EXPECT_EQ(c.restarts(), 1);
  EXPECT_EQ(c.IsReady(), true);
}

TEST_F(GroupTest, RestForOneRestartsThoseAfterIt) {
  Group group = manager_->Group(Strategy::kRestForOne);
  Process a = Serve(group, "a");
  Process b = Serve(group, "b");
  Process c = Serve(group, "c");
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(6), "-b -c +b !b +c !c");
  EXPECT_EQ(a.restarts(), 0);
  ASSERT_THAT(c.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(3), "-c +c !c");
}

TEST_F(GroupTest, WhatIsDraggedDownComesBackAlthoughItsPolicyWouldNotRestartIt) {
  Group group = manager_->Group(Strategy::kOneForAll);
  Process a = Serve(group, "a", Never());
  Process b = Serve(group, "b");
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(6), "-b -a +a !a +b !b");
}

TEST_F(GroupTest, EndAfterWhichThereIsNoRestartDragsNobody) {
  Group group = manager_->Group(Strategy::kOneForAll);
  Serve(group, "a");
  group.Fork([] {}, Telling("job"));
  Serve(group, "c");
  EXPECT_THAT(group.WaitReady(kLong), IsOk());
  EXPECT_EQ(AwaitLog(6), "+a !a +job -job +c !c") << "a job that has ended holds up nobody";
}

TEST_F(GroupTest, StopOfOneMemberDragsNobodyAndIsForGood) {
  Group group = manager_->Group(Strategy::kOneForAll);
  Process a = Serve(group, "a");
  Process b = Serve(group, "b");
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  EXPECT_THAT(a.Stop(), IsOk());
  EXPECT_EQ(TakeLog(), "-a");
  EXPECT_TRUE(b.IsReady());
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(3), "-b +b !b") << "without the one that has ended for good";
}

TEST_F(GroupTest, EndsWhenAllHaveEnded) {
  Group group = manager_->Group(Strategy::kOneForAll, {.name = "g"});
  absl::Status end = absl::UnknownError("not told");
  group.OnEnd([&](const absl::Status& status) { end = status; });
  group.Fork([] {});
  group.Fork([] { return 3; });
  EXPECT_THAT(group.Wait(kLong), IsOk());
  EXPECT_THAT(manager_->Dispatch(), IsOk());
  EXPECT_THAT(end, IsOk());
  EXPECT_THAT(group.Spawn(SleepForEver).Wait(kLong), IsOkAndHolds(ExitStatus::NotStarted(ECANCELED)));
}

TEST_F(GroupTest, AnySignificantMembersEndEndsTheGroup) {
  Group group = manager_->Group(Strategy::kOneForOne,
                                {.name = "g", .end_when = GroupOptions::EndWhen::kAnySignificant});
  Serve(group, "a");
  ProcessOptions significant = Telling("s");
  significant.significant = true;
  Process s = group.Spawn(ServeUntilShutdown, RestartPolicy{}, significant);
  Serve(group, "c");
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  EXPECT_THAT(s.Stop(), IsOk());
  EXPECT_THAT(group.Wait(kLong), IsOk());
  EXPECT_EQ(TakeLog(), "-s -c -a xg");
}

TEST_F(GroupTest, LastSignificantMembersEndEndsTheGroup) {
  Group group = manager_->Group(Strategy::kOneForOne,
                                {.name = "g", .end_when = GroupOptions::EndWhen::kAllSignificant});
  Serve(group, "a");
  std::vector<Process> significant;
  for (const char* name : {"s", "t"}) {
    ProcessOptions options = Telling(name);
    options.significant = true;
    significant.push_back(group.Spawn(ServeUntilShutdown, RestartPolicy{}, options));
  }
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  EXPECT_THAT(significant[0].Stop(), IsOk());
  EXPECT_TRUE(group.IsAlive());
  EXPECT_THAT(significant[1].Stop(), IsOk());
  EXPECT_THAT(group.Wait(kLong), IsOk());
  EXPECT_EQ(TakeLog(), "-s -t -a xg");
}

TEST_F(GroupTest, MemberGivenUpOnLeavesTheOthersOfOneForOneAlone) {
  Group group = manager_->Group(Strategy::kOneForOne);
  Process a = Serve(group, "a");
  Process b = Serve(group, "b", GiveUpAtOnce());
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_THAT(b.Wait(kLong), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_TRUE(a.IsReady());
  EXPECT_TRUE(group.IsAlive());
}

TEST_F(GroupTest, MemberGivenUpOnEndsAGroupOfTiedOnes) {
  for (const Strategy strategy : {Strategy::kOneForAll, Strategy::kRestForOne}) {
    Group group = manager_->Group(strategy, {.name = "g"});
    Serve(group, "a");
    Process b = Serve(group, "b", GiveUpAtOnce());
    ASSERT_THAT(group.WaitReady(kLong), IsOk());
    TakeLog();
    ASSERT_THAT(b.Kill(SIGKILL), IsOk());
    const absl::Status end = group.Wait(kLong);
    EXPECT_THAT(end, StatusIs(absl::StatusCode::kAborted));
    EXPECT_THAT(std::string(end.message()), HasSubstr("killed by SIGKILL"));
    EXPECT_EQ(TakeLog(), "-b -a xg");
  }
  EXPECT_THAT(manager_->Wait(kLong), IsOk()) << "the manager goes on";
}

TEST_F(GroupTest, EscalationOfAGroupWithoutAPolicyEndsIt) {
  Group group = manager_->Group(Strategy::kOneForOne, {.name = "g"});
  Serve(group, "a");
  Process b = Serve(group, "b", EscalateAtOnce());
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_THAT(group.Wait(kLong), StatusIs(absl::StatusCode::kAborted));
  EXPECT_FALSE(b.IsAlive());
}

TEST_F(GroupTest, EscalationRestartsTheGroupAsItsPolicySays) {
  Group group = manager_->Group(Strategy::kOneForOne, {.name = "g", .restart = AtOnce()});
  Serve(group, "a");
  Process b = Serve(group, "b", EscalateAtOnce());
  for (int round = 0; round < 3; ++round) {
    ASSERT_THAT(group.WaitReady(kLong), IsOk());
    TakeLog();
    ASSERT_THAT(b.Kill(SIGKILL), IsOk());
    EXPECT_EQ(AwaitLog(7), "-b ~g -a +a !a +b !b");
  }
}

TEST_F(GroupTest, EscalationOfAGroupThatEscalatesShutsTheManagerDown) {
  Group group = manager_->Group(Strategy::kOneForOne, {.name = "g", .restart = EscalateAtOnce()});
  Process other = manager_->Spawn(ServeUntilShutdown);
  Process b = Serve(group, "b", EscalateAtOnce());
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  const absl::Status end = manager_->Wait(kLong);
  EXPECT_THAT(end, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(std::string(end.message()), HasSubstr("Group g"));
  EXPECT_FALSE(other.IsAlive());
}

TEST_F(GroupTest, NestedGroupTakesItsTurn) {
  Group outer = manager_->Group(Strategy::kOneForAll, {.name = "outer"});
  Serve(outer, "a");
  Group inner = outer.AddGroup(Strategy::kRestForOne, {.name = "inner"});
  Serve(inner, "b");
  Serve(inner, "c");
  Serve(outer, "d");
  ASSERT_THAT(outer.WaitReady(kLong), IsOk());
  EXPECT_EQ(TakeLog(), "+a !a +b !b +c !c +d !d");
  EXPECT_THAT(outer.Stop(), IsOk());
  EXPECT_EQ(TakeLog(), "-d -c -b xinner -a xouter");
}

TEST_F(GroupTest, RestartInANestedGroupIsItsOwnBusiness) {
  Group outer = manager_->Group(Strategy::kOneForAll, {.name = "outer"});
  Serve(outer, "a");
  Group inner = outer.AddGroup(Strategy::kRestForOne, {.name = "inner"});
  Process b = Serve(inner, "b");
  Serve(inner, "c");
  ASSERT_THAT(outer.WaitReady(kLong), IsOk());
  TakeLog();
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(6), "-b -c +b !b +c !c");
}

TEST_F(GroupTest, NestedGroupIsDraggedAsAWhole) {
  Group outer = manager_->Group(Strategy::kOneForAll, {.name = "outer"});
  Process a = Serve(outer, "a");
  Group inner = outer.AddGroup(Strategy::kOneForOne, {.name = "inner"});
  Serve(inner, "b");
  Serve(inner, "c");
  ASSERT_THAT(outer.WaitReady(kLong), IsOk());
  TakeLog();
  ASSERT_THAT(a.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(9), "-a -c -b +a !a +b !b +c !c");
}

TEST_F(GroupTest, FailureOfANestedGroupThatRestartsDragsItsNeighbours) {
  Group outer = manager_->Group(Strategy::kOneForAll, {.name = "outer"});
  Serve(outer, "a");
  Group inner = outer.AddGroup(Strategy::kOneForOne, {.name = "inner", .restart = AtOnce()});
  Process b = Serve(inner, "b", EscalateAtOnce());
  ASSERT_THAT(outer.WaitReady(kLong), IsOk());
  TakeLog();
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(7), "-b ~inner -a +a !a +b !b");
}

TEST_F(GroupTest, EscalationGoesThroughNestedGroups) {
  Group outer = manager_->Group(Strategy::kOneForOne, {.name = "outer", .restart = AtOnce()});
  Serve(outer, "a");
  Group inner = outer.AddGroup(Strategy::kOneForOne, {.name = "inner", .restart = EscalateAtOnce()});
  Process b = Serve(inner, "b", EscalateAtOnce());
  ASSERT_THAT(outer.WaitReady(kLong), IsOk());
  TakeLog();
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(7), "-b ~outer -a +a !a +b !b");
}

TEST_F(GroupTest, EndOfASignificantNestedGroupEndsTheOuterOne) {
  Group outer = manager_->Group(Strategy::kOneForOne,
                                {.name = "outer", .end_when = GroupOptions::EndWhen::kAnySignificant});
  Serve(outer, "a");
  Group inner = outer.AddGroup(Strategy::kOneForOne, {.name = "inner", .significant = true});
  Process b = Serve(inner, "b");
  ASSERT_THAT(outer.WaitReady(kLong), IsOk());
  TakeLog();
  EXPECT_THAT(b.Stop(), IsOk());
  EXPECT_THAT(outer.Wait(kLong), IsOk());
  EXPECT_EQ(TakeLog(), "-b xinner -a xouter");
}

TEST_F(GroupTest, PoolIsAMember) {
  Group group = manager_->Group(Strategy::kRestForOne, {.name = "g"});
  Process a = Serve(group, "a");
  group.SpawnPool(3, ServeUntilShutdown, AtOnce(), Telling("w"));
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  TakeLog();
  ASSERT_THAT(a.Kill(SIGKILL), IsOk());
  AwaitLog(4 + 8);
  EXPECT_THAT(group.WaitReady(kLong), IsOk());
  EXPECT_EQ(a.restarts(), 1);
  EXPECT_THAT(group.Stop(), IsOk());
}

TEST_F(GroupTest, HandlerMayStopTheGroupAndStartInIt) {
  Group group = manager_->Group(Strategy::kOneForAll, {.name = "g"});
  Process a = Serve(group, "a");
  int exits = 0;
  a.OnReady([&] {
    if (++exits == 1) group.Spawn(ServeUntilShutdown, AtOnce(), Telling("late"));
  });
  ASSERT_THAT(a.WaitReady(kLong), IsOk());
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  EXPECT_EQ(group.size(), 2u);
  a.OnExit([&](const ExitStatus&) { EXPECT_THAT(group.Stop(), IsOk()); });
  ASSERT_THAT(a.Kill(SIGKILL), IsOk());
  EXPECT_THAT(group.Wait(kLong), IsOk());
}

TEST_F(GroupTest, DroppedHandlesChangeNothing) {
  Process b;
  {
    Group group = manager_->Group(Strategy::kOneForAll);
    Serve(group, "a");
    b = Serve(group, "b");
    ASSERT_THAT(group.WaitReady(kLong), IsOk());
  }
  TakeLog();
  ASSERT_THAT(b.Kill(SIGKILL), IsOk());
  EXPECT_EQ(AwaitLog(6), "-b -a +a !a +b !b");
}

TEST_F(GroupTest, HandleOfNoGroupRefuses) {
  Group none;
  EXPECT_THAT(none.Wait(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(none.WaitReady(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(none.Stop(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(none.Spawn(SleepForEver).pid(), 0);
  EXPECT_FALSE(none.AddGroup(Strategy::kOneForOne).IsAlive());
  EXPECT_EQ(none.size(), 0u);

  Group of_gone = manager_->Group(Strategy::kOneForOne);
  Serve(of_gone, "a");
  manager_.reset();
  EXPECT_THAT(of_gone.WaitReady(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(of_gone.Wait(), IsOk()) << "its end is known";
  EXPECT_EQ(of_gone.Spawn(SleepForEver).pid(), 0);
}

TEST_F(GroupTest, EmptyGroupWaitsForNothing) {
  Group group = manager_->Group(Strategy::kOneForOne);
  EXPECT_THAT(group.Wait(kLong), IsOk());
  EXPECT_THAT(group.WaitReady(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(group.IsAlive());
  EXPECT_THAT(group.Stop(), IsOk());
}

TEST_F(GroupTest, ManyMembersStopAndStartWithinTheirTurns) {
  Group group = manager_->Group(Strategy::kOneForAll, {.name = "g"});
  std::vector<Process> members;
  for (int i = 0; i < 30; ++i) members.push_back(Serve(group, absl::StrCat(i)));
  ASSERT_THAT(group.WaitReady(kLong), IsOk());
  ASSERT_THAT(members[7].Kill(SIGKILL), IsOk());
  AwaitLog(60 + 30 + 60);
  for (const Process& member : members) {
    EXPECT_EQ(member.restarts(), 1);
    EXPECT_TRUE(member.IsReady());
  }
}

}  // namespace
}  // namespace ko
