#ifndef KO_MANAGER_SELF_H_
#define KO_MANAGER_SELF_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/shared_memory.h"
#include "ko/manager/control_slots.h"
#include "ko/manager/memory_slots.h"
#include "ko/os/event_fd.h"
#include "ko/os/interrupt.h"
#include "ko/signals/signal_dispatcher.h"

namespace ko {

struct AttemptFacts;

// A managed process's view of itself: given to bodies that take one. Having it, the process no longer dies of SIGTERM at
// once: the body is to ask ShouldShutdown() now and then and leave in good order, or SIGKILL follows after the grace time.
//
//   manager.Spawn([](ko::Self& self) {
//     while (!self.ShouldShutdown()) {
//       DoSomeWork();
//       self.Sleep(absl::Seconds(1));   // wakes for signals
//     }
//   });
//
// Threads: one at a time. Fork: a process forked by the body has no use for it. Signals: SIGTERM is handled from before
// the body starts, so none is lost; the terminal's Ctrl-C is left to the manager. Crash: the manager sees the end.
// Errors: as each call says.
class Self {
 public:
  pid_t pid() const { return pid_; }
  pid_t parent_pid() const { return parent_pid_; }
  // 1 for the first start, 2 after the first restart.
  int attempt() const { return attempt_; }
  // Which of a pool's workers this is, from 0; the same for the one that takes its place. -1 outside of pools.
  int slot() const { return slot_; }

  // Whether SIGTERM has come. Dispatches what is pending first, so a loop needs to call nothing else.
  bool ShouldShutdown();
  // Runs the handlers of pending signals; how many signals there were.
  absl::StatusOr<int> Dispatch();
  // Sleeps for `duration`, or until a signal has been dispatched; true where it slept for the whole of it. Negative ones
  // are zero. Returns at once when the process should shut down.
  bool Sleep(absl::Duration duration);

  // Tells the manager that this process is ready (Process::OnReady, WaitReady). More calls do nothing more.
  void NotifyReady();

  // It goes on (LivenessPolicy::heartbeat_deadline). Costs a look at the clock.
  void Heartbeat();
  // The work that follows is one task, for LivenessPolicy::task_deadline; a task that is under way ends without counting.
  void BeginTask();
  // The task has ended, for RecyclePolicy::max_tasks. Counts without BeginTask, too.
  void EndTask();

  absl::Status SetProcessTitle(std::string_view title);

  // What this process shares with its manager and with its later attempts (see Process::shared_memory).
  SharedMemory& shared_memory() { return memory_->Use(); }
  SharedMemory::Entry operator[](std::string_view key) { return shared_memory()[key]; }

  // For handlers of this process's own.
  SignalDispatcher& signals() { return signals_; }
  // Ends a blocking call, JobQueue::Receive say, when a signal waits to be dispatched.
  Interrupt interrupt() const { return signals_.interrupt(); }

 private:
  friend absl::StatusOr<std::unique_ptr<Self>> EnterAttempt(const AttemptFacts& facts,
                                                            const ControlSlotRef& control,
                                                            const std::shared_ptr<ProcessMemory>& memory,
                                                            os::EventFd bell);
  // `max_tasks`: at so many the bell is rung.
  static absl::StatusOr<std::unique_ptr<Self>> Create(int attempt, int slot, int64_t max_tasks,
                                                      ControlSlotRef control,
                                                      std::shared_ptr<ProcessMemory> memory,
                                                      os::EventFd bell);
  Self(int attempt, int slot, int64_t max_tasks, ControlSlotRef control,
       std::shared_ptr<ProcessMemory> memory, os::EventFd bell, SignalDispatcher signals);

  const pid_t pid_;
  const pid_t parent_pid_;
  int attempt_;  // a spare learns it when its turn comes
  const int slot_;
  const int64_t max_tasks_;
  ControlSlotRef control_;
  const std::shared_ptr<ProcessMemory> memory_;
  os::EventFd bell_;
  SignalDispatcher signals_;
  bool should_shutdown_ = false;
};

}  // namespace ko

#endif  // KO_MANAGER_SELF_H_
