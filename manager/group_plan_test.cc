#include "ko/manager/group_plan.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace ko {
namespace {

using State = MemberView::State;
using Indexes = std::vector<size_t>;

// A letter each: '.' down and not due, 'd' down and due, 's' starting, 'U' up, 'x' stopping, 'E' ended. In capitals what is
// `dragged`: 'S' starting, 'V' up, 'X' stopping.
std::vector<MemberView> Members(std::string_view letters, bool in_turn = true) {
  std::vector<MemberView> members;
  for (const char letter : letters) {
    MemberView member{.in_turn = in_turn};
    switch (letter) {
      case 'd':
        member.due = true;
        break;
      case 'S':
        member.dragged = true;
        [[fallthrough]];
      case 's':
        member.state = State::kStarting;
        break;
      case 'V':
        member.dragged = true;
        [[fallthrough]];
      case 'U':
        member.state = State::kUp;
        break;
      case 'X':
        member.dragged = true;
        [[fallthrough]];
      case 'x':
        member.state = State::kStopping;
        break;
      case 'E':
        member.state = State::kEnded;
        break;
      default:
        break;
    }
    members.push_back(member);
  }
  return members;
}

struct Case {
  std::string_view members;
  Indexes stop;
  Indexes start;
};

void Check(GroupGoal goal, bool one_by_one, bool in_turn, const std::vector<Case>& cases) {
  for (const Case& each : cases) {
    SCOPED_TRACE(each.members);
    const GroupActions actions = PlanGroup(goal, one_by_one, Members(each.members, in_turn));
    EXPECT_EQ(actions.stop, each.stop);
    EXPECT_EQ(actions.start, each.start);
  }
}

TEST(GroupPlanTest, UpInTurnStartsOneAfterTheOther) {
  Check(GroupGoal::kUp, true, true,
        {
            {"", {}, {}},
            {"ddd", {}, {0}},
            {"sdd", {}, {}},
            {"Udd", {}, {1}},
            {"UUd", {}, {2}},
            {"UUU", {}, {}},
            {"Edd", {}, {1}},
            {".dd", {}, {}},  // the first one's delay is not over
            {"xdd", {}, {}},
            {"UdU", {}, {1}},
            {"U.U", {}, {}},
        });
}

TEST(GroupPlanTest, UpOutOfTurnStartsAllThatIsDue) {
  Check(GroupGoal::kUp, false, false,
        {
            {"ddd", {}, {0, 1, 2}},
            {"sd.", {}, {1}},
            {"xdE", {}, {1}},
        });
}

TEST(GroupPlanTest, DraggedOnesGoDownFromTheLastBeforeAnythingStarts) {
  Check(GroupGoal::kUp, true, true,
        {
            {"VVdV", {3}, {}},
            {"VVdX", {}, {}},
            {"VVdd", {1}, {}},
            {"VXdd", {}, {}},
            {"Vddd", {0}, {}},
            {"Sddd", {0}, {}},
            {"dddd", {}, {0}},
        });
  Check(GroupGoal::kUp, false, true, {{"VSdX", {1, 0}, {}}});
}

TEST(GroupPlanTest, DownStopsFromTheLastAndEndsWhatIsDown) {
  Check(GroupGoal::kDown, true, true,
        {
            {"UUU", {2}, {}},
            {"UUx", {}, {}},
            {"UUE", {1}, {}},
            {"UdE", {1, 0}, {}},  // that one ends at once
            {"dU.", {2, 1}, {}},
            {"EEE", {}, {}},
        });
  Check(GroupGoal::kDown, false, true, {{"UsxEd", {4, 1, 0}, {}}});
}

TEST(GroupPlanTest, RestartStopsFromTheLastAndLeavesWhatIsDown) {
  Check(GroupGoal::kRestart, true, true,
        {
            {"UUU", {2}, {}},
            {"UxU", {2}, {}},
            {"Ux.", {}, {}},
            {"U.d", {0}, {}},
            {"..E", {}, {}},
        });
}

TEST(GroupPlanTest, StrategiesDrag) {
  EXPECT_EQ(DraggedBy(Strategy::kOneForOne, 1, 4), (Indexes{}));
  EXPECT_EQ(DraggedBy(Strategy::kOneForAll, 1, 4), (Indexes{0, 2, 3}));
  EXPECT_EQ(DraggedBy(Strategy::kRestForOne, 1, 4), (Indexes{2, 3}));
  EXPECT_EQ(DraggedBy(Strategy::kRestForOne, 3, 4), (Indexes{}));
  EXPECT_EQ(DraggedBy(Strategy::kOneForAll, 0, 1), (Indexes{}));
}

// Whatever order the ends come in: it goes down from the last to the first, and comes up from the first to the last.
TEST(GroupPlanTest, FromAnyStateItComesDownAndUpInOrder) {
  const std::string_view letters = ".dsUxE";
  for (size_t code = 0; code < 6 * 6 * 6; ++code) {
    std::string text = {letters[code % 6], letters[code / 6 % 6], letters[code / 36]};
    std::vector<MemberView> members = Members(text);
    int steps = 0;
    for (;; ++steps) {
      ASSERT_LT(steps, 20) << text;
      const GroupActions actions = PlanGroup(GroupGoal::kDown, true, members);
      for (const size_t i : actions.stop) {
        for (size_t after = i + 1; after < 3; ++after) {
          EXPECT_TRUE(members[after].state == State::kEnded || members[after].state == State::kStopping)
              << text;
        }
        members[i].state = members[i].state == State::kDown ? State::kEnded : State::kStopping;
      }
      if (!actions.empty()) continue;
      bool stopped = false;
      for (MemberView& member : members) {
        if (member.state == State::kStopping && !stopped) {
          member.state = State::kEnded;
          stopped = true;
        }
      }
      if (!stopped) break;
    }
    for (const MemberView& member : members) EXPECT_EQ(member.state, State::kEnded) << text;
  }
}

}  // namespace
}  // namespace ko
