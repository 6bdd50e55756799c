#include "ko/manager/group_plan.h"

namespace ko {
namespace {

using State = MemberView::State;

bool IsAlive(const MemberView& member) {
  return member.state == State::kStarting || member.state == State::kUp || member.state == State::kStopping;
}

// Of those that `is_to_go`, from the last to the first.
template <class Predicate>
std::vector<size_t> NextToStop(bool one_by_one, absl::Span<const MemberView> members, Predicate is_to_go) {
  std::vector<size_t> stop;
  for (size_t i = members.size(); i-- > 0;) {
    if (!is_to_go(members[i])) continue;
    if (members[i].state != State::kStopping) stop.push_back(i);
    if (one_by_one && IsAlive(members[i])) break;
  }
  return stop;
}

std::vector<size_t> NextToStart(absl::Span<const MemberView> members) {
  std::vector<size_t> start;
  bool all_before_are_up = true;
  for (size_t i = 0; i < members.size(); ++i) {
    const MemberView& member = members[i];
    if (member.state == State::kDown && member.due && (all_before_are_up || !member.in_turn)) {
      start.push_back(i);
    }
    all_before_are_up &= member.state == State::kUp || member.state == State::kEnded;
  }
  return start;
}

}  // namespace

GroupActions PlanGroup(GroupGoal goal, bool one_by_one, absl::Span<const MemberView> members) {
  switch (goal) {
    case GroupGoal::kDown:
      return {.stop = NextToStop(one_by_one, members,
                                 [](const MemberView& each) { return each.state != State::kEnded; })};
    case GroupGoal::kRestart:
      return {.stop = NextToStop(one_by_one, members, IsAlive)};
    case GroupGoal::kUp:
      break;
  }
  const auto is_dragged = [](const MemberView& each) { return each.dragged && IsAlive(each); };
  for (const MemberView& member : members) {
    if (is_dragged(member)) return {.stop = NextToStop(one_by_one, members, is_dragged)};
  }
  return {.start = NextToStart(members)};
}

std::vector<size_t> DraggedBy(Strategy strategy, size_t failed, size_t count) {
  std::vector<size_t> dragged;
  if (strategy == Strategy::kOneForOne) return dragged;
  for (size_t i = strategy == Strategy::kOneForAll ? 0 : failed + 1; i < count; ++i) {
    if (i != failed) dragged.push_back(i);
  }
  return dragged;
}

}  // namespace ko
