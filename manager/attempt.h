#ifndef KO_MANAGER_ATTEMPT_H_
#define KO_MANAGER_ATTEMPT_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "ko/manager/command_output.h"
#include "ko/manager/control_slots.h"
#include "ko/manager/stop_tracker.h"
#include "ko/manager/timer_queue.h"
#include "ko/os/cgroup.h"
#include "ko/process/child.h"

namespace ko {

// One run of a managed process, from its start until it is reaped. Plain state; the Supervisor alone changes it.
struct Attempt {
  enum class Role {
    kCurrent,    // the process is this one
    kSpare,      // forked in advance, and waits for its turn
    kSuccessor,  // to take over from the current one when it is ready
    kRetiring,   // has been taken over from, and is asked to end
  };

  // What is known only after the fork, when the page that it stands in has to be copied for it: all at one place.
  Child child;  // none before
  absl::Duration started_at = absl::ZeroDuration();

  bool end_told = false;  // by epoll
  Role role = Role::kCurrent;
  uint64_t id = 0;  // what epoll calls it
  int number = 0;   // 1 for the first
  ControlSlotRef control;
  std::optional<CommandOutput> output;
  std::optional<os::Cgroup> cgroup;  // of a StopTarget::kTree, where there is one to be had

  std::optional<absl::Duration> ready_at;
  std::optional<absl::Duration> heartbeat_at;  // of a command; a body's is in `control`
  double spread = 0;                           // in [0, 1), of the age at which it is recycled
  absl::Duration memory_check_at = absl::InfiniteDuration();
  bool recycling = false;

  StopTracker stop;
  bool to_restart = false;  // it is stopped for its group's sake, and another attempt follows in its turn
  std::string reason;       // why the manager ended it, for its ExitEvent; empty where it did not

  TimerQueue::Timer timer;  // of whatever is to be looked at next

  Attempt(TimerQueue& timers, absl::AnyInvocable<void()> on_time) : timer(timers, std::move(on_time)) {}
  Attempt(const Attempt&) = delete;
  pid_t pid() const { return child.pid(); }
  // Every descriptor that it owns; -1 for what is none.
  template <class Visit>
  void ForEachFd(Visit visit) const {
    visit(child.pidfd());
    for (int stream = 0; output.has_value() && stream < CommandOutput::kStreams; ++stream)
      visit(output->fd(stream));
    if (!cgroup.has_value()) return;
    for (const int fd : cgroup->fds()) visit(fd);
  }
};

// Where attempts are made: one at a time beside what else there is in the room's page, so that it is not another one to be copied
// for each start; the others on the heap. Not to be destroyed before them.
class AttemptRoom {
 public:
  struct Leave {
    AttemptRoom* room;  // null: it was on the heap
    void operator()(Attempt* attempt) const {
      if (room == nullptr) {
        delete attempt;
        return;
      }
      attempt->~Attempt();
      room->taken_ = false;
    }
  };
  using Pointer = std::unique_ptr<Attempt, Leave>;

  AttemptRoom() = default;
  AttemptRoom(const AttemptRoom&) = delete;

  Pointer Make(TimerQueue& timers, absl::AnyInvocable<void()> on_time) {
    if (taken_) return Pointer(new Attempt(timers, std::move(on_time)), {nullptr});
    Attempt* const attempt = new (bytes_) Attempt(timers, std::move(on_time));
    taken_ = true;
    return Pointer(attempt, {this});
  }

 private:
  bool taken_ = false;
  alignas(Attempt) std::byte bytes_[sizeof(Attempt)];
};

}  // namespace ko

#endif  // KO_MANAGER_ATTEMPT_H_
