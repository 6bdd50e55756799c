#ifndef KO_MANAGER_PROCESS_H_
#define KO_MANAGER_PROCESS_H_

#include <sys/types.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/shared_memory.h"
#include "ko/manager/exit_event.h"
#include "ko/process/exit_status.h"
#include "ko/process/stop_policy.h"

namespace ko {

struct ProcessHandler;
struct ProcessRecord;
class Supervisor;

// The parent's handle of a managed process. It stays the same over restarts: same handle, same handlers, new pid. Copies
// are handles of the same process; dropping them neither stops it nor loses its handlers.
//
//   ko::Process process = manager.Spawn(Work);
//   process.OnError([](const ko::ExitStatus& status) { LOG(WARNING) << status; });
//   if (absl::Status ready = process.WaitReady(absl::Seconds(5)); !ready.ok()) ...
//
// Handlers run inside Dispatch and Wait calls (of the manager or of any of its processes), on the caller's thread, exactly
// once for each event, whichever call noticed it; one that is added after the end gets its turn in the next such call.
// OnSuccess, OnError and OnExit are called at the end of every attempt, OnSuccess or OnError first.
//
// A handler may do anything: start, stop and wait for processes, add handlers, throw (the others then run in the next
// such call), destroy the handle that is waited on, and destroy the manager.
//
// Threads: the manager's. Fork: a child's copies are of no use: FailedPrecondition. Signals: waits go on after a signal,
// whose handlers on the manager run. Crash: children die with the manager (SIGKILL).
// Errors: FailedPrecondition for a default-constructed or moved-from one, outside the manager's process, and, where the
// end is not known already, after the manager is gone; Cancelled where a handler destroys the manager during a wait.
// Others are listed below.
class Process {
 public:
  Process() = default;

  Process& OnSuccess(absl::AnyInvocable<void()> handler);                 // it exited with 0
  Process& OnError(absl::AnyInvocable<void(const ExitStatus&)> handler);  // any other end, and a failed start
  Process& OnExit(absl::AnyInvocable<void(const ExitStatus&)> handler);   // both
  Process& OnReady(absl::AnyInvocable<void()> handler);                   // Self::NotifyReady(), READY=1
  // As OnExit, with all that is known: attempt, run time, what it used, its last lines, an OOM kill.
  Process& OnExitEvent(absl::AnyInvocable<void(const ExitEvent&)> handler);

  // Waits until the process has ended for good (restarts and the waits between them are not an end); the last status.
  // Handlers of this and other processes run meanwhile. Errors: DeadlineExceeded.
  absl::StatusOr<ExitStatus> Wait(absl::Duration timeout = absl::InfiniteDuration());

  // Waits until the running attempt has told that it is ready. Errors: DeadlineExceeded; Aborted, at once, when it ends
  // before that, with its ExitStatus in the message.
  absl::Status WaitReady(absl::Duration timeout = absl::InfiniteDuration());
  bool IsReady() const;

  // Sends a signal to the running attempt; nothing happens when none runs. A process that dies of it is restarted as its
  // policy says; to end it for good, Stop it. Errors: InvalidArgument for a number that is no signal.
  absl::Status Kill(int signo = SIGTERM);

  // Ends the process for good: the policy's signal, the grace time, SIGKILL; without a policy by its own plan
  // (ProcessOptions::stop), or the manager's. Waits for the end. A second call with a shorter grace makes haste. Errors:
  // InvalidArgument for a policy whose signal is none.
  absl::StatusOr<ExitStatus> Stop(StopPolicy policy);
  absl::StatusOr<ExitStatus> Stop();

  // 64 KiB that the process and its manager share, empty at first; kept over restarts, and after the end for as long as
  // there are handles. Costs nothing until it is used. The child has it as self.shared_memory() and self["key"]. Of a
  // handle of no process, and of one that was never started, an empty one that refuses (FailedPrecondition). Not to be
  // used by what the child has forked after both the child and the handles have gone.
  SharedMemory& shared_memory() const;
  SharedMemory::Entry operator[](std::string_view key) const { return shared_memory()[key]; }

  const std::string& name() const;                // ProcessOptions::name; empty for a handle of no process
  pid_t pid() const;                              // of the running attempt; 0 where none runs
  bool IsAlive() const;                           // it runs, or will be started again
  std::optional<ExitStatus> exit_status() const;  // of the last attempt; empty while one runs
  std::optional<ExitEvent> exit_event() const;    // the same with all that is known
  int restarts() const;                           // how many times it was started again

 private:
  friend class Group;
  friend class ProcessManager;
  friend class WorkerPool;
  explicit Process(std::shared_ptr<ProcessRecord> record) : record_(std::move(record)) {}

  absl::StatusOr<Supervisor*> FindSupervisor() const;
  absl::StatusOr<std::shared_ptr<Supervisor>> GetSupervisor() const;
  Process& AddHandler(ProcessHandler handler);

  std::shared_ptr<ProcessRecord> record_;
};

}  // namespace ko

#endif  // KO_MANAGER_PROCESS_H_
