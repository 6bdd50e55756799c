#include "ko/manager/group_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"

namespace ko {
namespace {

using State = MemberView::State;

size_t IndexOf(const GroupRecord& group, const void* member) {
  const auto found = absl::c_find_if(group.members, [member](const GroupRecord::Member& each) {
    return each.process.get() == member || each.group.get() == member;
  });
  return static_cast<size_t>(found - group.members.begin());
}

State StateOf(const ProcessRecord& process) {
  switch (process.state) {
    case ProcessRecord::State::kEnded:
      return State::kEnded;
    case ProcessRecord::State::kAwaitingRestart:
      return process.Lives() ? State::kStopping : State::kDown;
    case ProcessRecord::State::kRunning:
      break;
  }
  const Attempt* const current = process.current();
  if (current == nullptr || current->stop.active()) return State::kStopping;
  const bool ready = process.spec.options.ready == ReadyWhen::kStarted || current->ready_at.has_value();
  return ready ? State::kUp : State::kStarting;
}

bool IsSignificant(const GroupRecord::Member& member) {
  return member.process != nullptr ? member.process->spec.options.significant
                                   : member.group->options.significant;
}

}  // namespace

void GroupKeeper::Add(const GroupPtr& group, GroupRecord* parent) {
  group->parent = parent;
  if (parent == nullptr) {
    roots_.push_back(group);
    Activate(*group);
  } else {
    parent->members.push_back({.group = group});
  }
  changed_ = true;
}

void GroupKeeper::Add(const ProcessPtr& process, GroupRecord& group) {
  process->group = &group;
  group.members.push_back({.process = process});
  changed_ = true;
}

void GroupKeeper::Remove(GroupRecord& group, const ProcessPtr& ended_member) {
  std::erase_if(group.members, [&](const GroupRecord::Member& each) { return each.process == ended_member; });
  ended_member->group = nullptr;
}

void GroupKeeper::Clear() {
  for (const GroupPtr& group : roots_) Forget(*group);
  roots_.clear();
}

// Members know their group, and it them.
void GroupKeeper::Forget(GroupRecord& group) {
  group.supervisor.reset();
  group.timer.reset();
  for (const GroupRecord::Member& member : std::exchange(group.members, {})) {
    if (member.process != nullptr) member.process->group = nullptr;
    if (member.group != nullptr) Forget(*member.group);
  }
}

// --- what the members are -----------------------------------------------------------------------------------------------

MemberView::State GroupKeeper::StateOf(const GroupRecord& group) const {
  if (group.ended) return State::kEnded;
  if (!group.active) return State::kDown;
  if (group.goal != GroupGoal::kUp) return State::kStopping;
  const bool all_up = absl::c_all_of(group.members, [&](const GroupRecord::Member& each) {
    const State state = View(group, each).state;
    return state == State::kUp || state == State::kEnded;
  });
  return all_up ? State::kUp : State::kStarting;
}

MemberView GroupKeeper::View(const GroupRecord& group, const GroupRecord::Member& member) const {
  const auto view = [&](State state, const auto& record) {
    // Once they have been up, members that have nothing to do with each other do not wait for each other.
    const bool in_turn = group.ordered && (!record.had_turn || group.strategy != Strategy::kOneForOne);
    return MemberView{.state = state, .due = record.due, .in_turn = in_turn, .dragged = record.dragged};
  };
  return member.process != nullptr ? view(ko::StateOf(*member.process), *member.process)
                                   : view(StateOf(*member.group), *member.group);
}

// --- towards the goal ---------------------------------------------------------------------------------------------------

void GroupKeeper::Settle() {
  if (!changed_ || std::exchange(settling_, true)) return;  // the latter: a deed of the loop below
  while (std::exchange(changed_, false)) {
    const std::vector<GroupPtr> roots = roots_;
    for (const GroupPtr& group : roots) changed_ |= Reconcile(group);
    std::erase_if(roots_, [](const GroupPtr& group) { return group->ended; });
  }
  settling_ = false;
}

bool GroupKeeper::IsUp(const GroupRecord& group) const {
  return !group.members.empty() && StateOf(group) == State::kUp;
}

bool GroupKeeper::MayStartAtOnce(const ProcessRecord& member) const {
  const GroupRecord& group = *member.group;
  return group.active && group.goal == GroupGoal::kUp && group.strategy == Strategy::kOneForOne &&
         member.had_turn;
}

bool GroupKeeper::Reconcile(const GroupPtr& group) {
  bool changed = false;
  while (ReconcileOnce(group)) changed = true;
  return changed;
}

bool GroupKeeper::ReconcileOnce(const GroupPtr& group) {
  if (group->ended || (!group->active && group->goal != GroupGoal::kDown)) return false;
  bool changed = false;
  const std::vector<GroupRecord::Member> members = group->members;
  for (const GroupRecord::Member& member : members) {
    if (member.group != nullptr) changed |= Reconcile(member.group);
  }
  std::vector<MemberView> views;
  for (const GroupRecord::Member& member : members) views.push_back(View(*group, member));
  const auto all = [&](auto predicate) { return absl::c_all_of(views, predicate); };
  const bool all_ended = all([](const MemberView& each) { return each.state == State::kEnded; });
  if (all_ended && (group->goal == GroupGoal::kDown || !views.empty())) {
    End(group);
    return true;
  }
  const auto is_down = [](const MemberView& each) {
    return each.state == State::kEnded || each.state == State::kDown;
  };
  if (group->goal == GroupGoal::kRestart && all(is_down)) {
    AwaitRestart(group);
    return true;
  }
  const GroupActions actions = PlanGroup(group->goal, group->ordered, views);
  for (const size_t i : actions.stop) Stop(*group, members[i]);
  for (const size_t i : actions.start) Start(members[i]);
  return changed || !actions.empty();
}

void GroupKeeper::Start(const GroupRecord::Member& member) {
  if (member.group != nullptr) {
    member.group->had_turn = true;
    return Activate(*member.group);
  }
  member.process->had_turn = true;
  member.process->due = false;
  member.process->dragged = false;
  hands_.StartMember(member.process);
}

void GroupKeeper::Activate(GroupRecord& group) {
  group.active = true;
  group.due = false;
  group.dragged = false;
  group.goal = GroupGoal::kUp;
  group.started_at = hands_.Now();
}

void GroupKeeper::Stop(GroupRecord& group, const GroupRecord::Member& member) {
  const bool for_good = group.goal == GroupGoal::kDown;
  if (member.process != nullptr) {
    return for_good ? hands_.StopForGood(member.process) : hands_.StopToRestart(member.process);
  }
  if (for_good) {
    Stop(*member.group);
  } else if (member.group->goal == GroupGoal::kUp) {
    member.group->goal = GroupGoal::kRestart;
    member.group->restart_delay = absl::ZeroDuration();
  }
}

void GroupKeeper::Stop(GroupRecord& group) {
  group.goal = GroupGoal::kDown;
  group.timer.reset();
  changed_ = true;
}

void GroupKeeper::StopAll() {
  for (const GroupPtr& group : roots_) Stop(*group);
  Settle();
}

// All members are down: they are as new when the group's turn has come.
void GroupKeeper::AwaitRestart(const GroupPtr& group) {
  group->active = false;
  group->goal = GroupGoal::kUp;
  group->due = false;
  for (const GroupRecord::Member& member : group->members) {
    const auto renew = [](auto& record) {
      record.due = true;
      record.dragged = false;
      record.had_turn = false;
    };
    if (member.group != nullptr) {
      renew(*member.group);
      continue;
    }
    renew(*member.process);
    if (member.process->spec.restart.has_value())
      member.process->restart = std::make_unique<RestartTracker>(*member.process->spec.restart);
  }
  const std::weak_ptr<GroupRecord> weak = group;
  group->timer = std::make_unique<TimerQueue::Timer>(timers_, [this, weak] {
    const GroupPtr group = weak.lock();
    if (group == nullptr || group->goal == GroupGoal::kDown) return;
    if (group->parent == nullptr) {
      Activate(*group);
    } else {
      group->due = true;
    }
    Touch();
    Settle();
  });
  group->timer->Set(hands_.Now() + group->restart_delay);
}

void GroupKeeper::End(const GroupPtr& group) {
  group->ended = true;
  group->active = false;
  group->timer.reset();
  hands_.TellGroup(*group, ProcessEvent::Kind::kGroupEnded, absl::ZeroDuration(),
                   std::string(group->end.message()));
  hands_.CallEndHandlers(*group);
  for (const GroupRecord::Member& member : std::exchange(group->members, {})) {
    if (member.process != nullptr) member.process->group = nullptr;
    if (member.group != nullptr) member.group->parent = nullptr;
  }
  GroupRecord* const parent = group->parent;
  if (parent == nullptr || parent->goal != GroupGoal::kUp) return;
  OnGone(*parent, group->options.significant, /*was_given_up=*/!group->end.ok(),
         absl::StrCat("its group ", group->options.name, " has ended"));
}

// --- ends ---------------------------------------------------------------------------------------------------------------

void GroupKeeper::OnMemberEnd(const ProcessPtr& member, RestartTracker::Action action, std::string_view why) {
  GroupRecord& group = *member->group;
  const bool is_others_business =
      action != RestartTracker::Action::kRestart || group.strategy != Strategy::kOneForOne;
  changed_ |= is_others_business;
  if (!is_others_business || group.goal != GroupGoal::kUp) return;
  switch (action) {
    case RestartTracker::Action::kRestart:
      return Drag(group, IndexOf(group, member.get()));
    case RestartTracker::Action::kEscalate:
      return Fail(group, absl::StrCat(member->name(), " has reached its limit of restarts: ", why));
    case RestartTracker::Action::kGiveUp:
    case RestartTracker::Action::kStayDown:
      return OnGone(group, member->spec.options.significant, action == RestartTracker::Action::kGiveUp,
                    absl::StrCat(member->name(), ": ", why));
  }
}

void GroupKeeper::Drag(GroupRecord& group, size_t failed) {
  for (const size_t i : DraggedBy(group.strategy, failed, group.members.size())) {
    const GroupRecord::Member& member = group.members[i];
    const State state = View(group, member).state;
    if (state == State::kDown || state == State::kEnded) continue;
    (member.process != nullptr ? member.process->dragged : member.group->dragged) = true;
  }
}

void GroupKeeper::OnGone(GroupRecord& group, bool is_significant, bool was_given_up, std::string_view why) {
  if (was_given_up && group.strategy != Strategy::kOneForOne) {
    return Fail(group, absl::StrCat("a member is given up on, and others are tied to it: ", why));
  }
  using EndWhen = GroupOptions::EndWhen;
  if (!is_significant || group.options.end_when == EndWhen::kAllEnded) return;
  const bool another_lives = absl::c_any_of(group.members, [&](const GroupRecord::Member& each) {
    return IsSignificant(each) && View(group, each).state != State::kEnded;
  });
  if (group.options.end_when == EndWhen::kAnySignificant || !another_lives) Stop(group);
}

void GroupKeeper::Fail(GroupRecord& group, std::string why) {
  if (group.goal != GroupGoal::kUp) return;
  const absl::Duration now = hands_.Now();
  const RestartTracker::Decision decision =
      group.restart.OnEnd(ExitStatus::Unknown(), now - group.started_at, now, hands_.Random());
  const absl::Status end = absl::AbortedError(absl::StrCat("Group ", group.options.name, ": ", why));
  changed_ = true;
  switch (decision.action) {
    case RestartTracker::Action::kRestart:
      group.goal = GroupGoal::kRestart;
      group.restart_delay = decision.delay;
      hands_.TellGroup(group, ProcessEvent::Kind::kGroupRestarting, decision.delay, std::move(why));
      if (group.parent != nullptr) Drag(*group.parent, IndexOf(*group.parent, &group));
      return;
    case RestartTracker::Action::kEscalate:
      group.end = end;
      if (group.parent == nullptr) {
        group.goal = GroupGoal::kDown;
        return hands_.Escalate(end);
      }
      // It comes up again with the group around it, if that does.
      group.goal = GroupGoal::kRestart;
      group.restart_delay = absl::InfiniteDuration();
      return Fail(*group.parent, std::move(why));
    case RestartTracker::Action::kStayDown:
    case RestartTracker::Action::kGiveUp:
      group.goal = GroupGoal::kDown;
      group.end = end;
      return;
  }
}

}  // namespace ko
