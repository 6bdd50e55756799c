#ifndef KO_MANAGER_GROUP_KEEPER_H_
#define KO_MANAGER_GROUP_KEEPER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/manager/group_plan.h"
#include "ko/manager/group_record.h"
#include "ko/manager/process_event.h"
#include "ko/manager/process_record.h"
#include "ko/manager/restart_tracker.h"
#include "ko/manager/timer_queue.h"

namespace ko {

// Starts, restarts and stops the members of groups in their order, as PlanGroup says. Has nothing of the kernel's: what is to
// be done to a process somebody else does.
//
// Threads: one at a time. Fork: a child clears its copy. Signals: none. Crash: none. Errors: none.
class GroupKeeper {
 public:
  using ProcessPtr = std::shared_ptr<ProcessRecord>;
  using GroupPtr = std::shared_ptr<GroupRecord>;

  // Who does it. Each may at once report an end by OnMemberEnd.
  class Hands {
   public:
    virtual ~Hands() = default;
    virtual void StartMember(const ProcessPtr& member) = 0;
    virtual void StopToRestart(const ProcessPtr& member) = 0;  // its next attempt is the keeper's to start
    virtual void StopForGood(const ProcessPtr& member) = 0;
    virtual void Escalate(
        const absl::Status& why) = 0;  // a group outside of any has failed, and no policy mends it
    virtual void TellGroup(const GroupRecord& group, ProcessEvent::Kind kind, absl::Duration delay,
                           std::string reason) = 0;
    virtual void CallEndHandlers(GroupRecord& group) = 0;
    virtual absl::Duration Now() = 0;
    virtual double Random() = 0;  // in [0, 1)
  };

  GroupKeeper(Hands& hands, TimerQueue& timers) : hands_(hands), timers_(timers) {}

  // At the end of its parent, or outside of any where that is null.
  void Add(const GroupPtr& group, GroupRecord* parent);
  void Add(const ProcessPtr& process, GroupRecord& group);

  // A member's attempt has ended, and its policy has said so. kRestart: it is down, and `due` when its delay is over.
  // kEscalate: it is down. The others: it has ended for good.
  void OnMemberEnd(const ProcessPtr& member, RestartTracker::Action action, std::string_view why);
  // Down for good, in order. Infinitely patient: each member's stop is bounded by its own plan.
  void Stop(GroupRecord& group);
  void StopAll();
  void Remove(GroupRecord& group, const ProcessPtr& ended_member);

  // Whether a member whose delay is over need not wait for any other.
  bool MayStartAtOnce(const ProcessRecord& member) const;
  // All members run and are ready, and there is one.
  bool IsUp(const GroupRecord& group) const;
  // Something has changed about a member.
  void Touch() { changed_ = true; }
  // Does what is to be done about all groups where anything has changed.
  void Settle();
  void Clear();

 private:
  MemberView View(const GroupRecord& group, const GroupRecord::Member& member) const;
  MemberView::State StateOf(const GroupRecord& group) const;
  bool Reconcile(const GroupPtr& group);
  bool ReconcileOnce(const GroupPtr& group);
  void Start(const GroupRecord::Member& member);
  void Stop(GroupRecord& group, const GroupRecord::Member& member);
  void Activate(GroupRecord& group);
  void AwaitRestart(const GroupPtr& group);
  void Forget(GroupRecord& group);
  void End(const GroupPtr& group);
  void Drag(GroupRecord& group, size_t failed);
  // One that was not restarted: what that means to the group.
  void OnGone(GroupRecord& group, bool is_significant, bool was_given_up, std::string_view why);
  void Fail(GroupRecord& group, std::string why);

  Hands& hands_;
  TimerQueue& timers_;
  std::vector<GroupPtr> roots_;
  bool settling_ = false;
  bool changed_ = false;
};

}  // namespace ko

#endif  // KO_MANAGER_GROUP_KEEPER_H_
