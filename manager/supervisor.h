#ifndef KO_MANAGER_SUPERVISOR_H_
#define KO_MANAGER_SUPERVISOR_H_

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/manager/control_slots.h"
#include "ko/manager/exit_event.h"
#include "ko/manager/managed_body.h"
#include "ko/manager/memory_slots.h"
#include "ko/manager/process_record.h"
#include "ko/manager/restart_policy.h"
#include "ko/manager/restart_tracker.h"
#include "ko/manager/self.h"
#include "ko/os/deadline.h"
#include "ko/os/epoll.h"
#include "ko/os/event_fd.h"
#include "ko/os/fd_limit.h"
#include "ko/os/oom_kills.h"
#include "ko/os/timer_fd.h"
#include "ko/process/command.h"
#include "ko/process/stop_policy.h"
#include "ko/signals/signal_dispatcher.h"

namespace ko {

// The part of a ProcessManager that talks to the kernel: it starts, watches and ends the processes of its records, as the
// policies decide, and collects the events whose handlers Dispatch and Wait then run.
//
// One epoll instance holds a pidfd for each child, the signal dispatcher, a timer for the next restart or end of a grace
// time, and a bell that children ring when they are ready. All state belongs to one process, `owner_`; in a forked child
// it is dropped at the first call.
class Supervisor : public std::enable_shared_from_this<Supervisor> {
 public:
  Supervisor();
  ~Supervisor();

  // A record that runs, or that has ended with NotStarted.
  std::shared_ptr<ProcessRecord> Start(ManagedBody body, std::optional<RestartPolicy> policy);
  std::shared_ptr<ProcessRecord> Start(Command command, std::optional<RestartPolicy> policy);

  // Handles events and runs handlers until `done`, asked after each round, says so: true. False when the deadline is over
  // and what had happened by then is handled. Errors, here and below: Cancelled where a handler closed this.
  absl::StatusOr<bool> RunUntil(absl::FunctionRef<bool()> done, const os::Deadline& deadline);
  // One round: sleeps for the first event at most until the deadline. How many there were; 0 when it is over.
  absl::StatusOr<int> RunOnce(const os::Deadline& deadline);

  void AddHandler(const std::shared_ptr<ProcessRecord>& record, ProcessHandler handler);
  void AddShutdownHandler(absl::AnyInvocable<void()> handler);

  absl::Status Kill(ProcessRecord& record, int signo);
  // InvalidArgument where it is none.
  static absl::Status CheckSignal(int signo);
  // Asks a process to end for good; at a second call the earlier end of the two grace times counts.
  void RequestStop(const std::shared_ptr<ProcessRecord>& record, const StopPolicy& policy);
  void BeginShutdown(const StopPolicy& policy);

  // Ends and reaps everything, without running a handler. Nothing can be started afterwards.
  void Close();
  // Gives back all descriptors, for a process that is about to be replaced by a daemon; those it needs are opened again.
  void ReleaseKernelSide() { kernel_.reset(); }
  // The daemon goes on with what was registered before.
  void AdoptCurrentProcess();

  bool IsOwnedByThisProcess() const;
  // In a forked child: drops what is the parent's.
  void EnsureOwned();
  // The same, and opens the descriptors where they are not open yet.
  absl::Status EnsureOpen();
  int poll_fd() const { return kernel_->epoll.fd(); }
  SignalDispatcher& signals() { return kernel_->signals; }
  size_t size() const { return IsOwnedByThisProcess() ? records_.size() : 0; }
  bool closed() const { return closed_; }
  // Aborted, naming the process and its end, where one has reached a limit that ends all.
  absl::Status escalation() const { return IsOwnedByThisProcess() ? escalation_ : absl::OkStatus(); }
  bool shutting_down() const { return IsOwnedByThisProcess() && shutting_down_; }
  void SetStopPolicy(const StopPolicy& policy);

 private:
  using RecordPtr = std::shared_ptr<ProcessRecord>;

  struct Kernel {
    os::Epoll epoll;
    os::TimerFd timer;
    os::EventFd bell;
    SignalDispatcher signals;
    os::OomKills oom_kills;
  };

  // What handlers are to be told.
  struct Event {
    RecordPtr record;
    ProcessHandler::Event kind;
    ExitEvent exit;
    bool is_last_exit;
  };

  absl::Status SubscribeSignals();
  void DropEverything();

  std::shared_ptr<ProcessRecord> StartRecord(std::shared_ptr<ProcessRecord> record,
                                             std::optional<RestartPolicy> policy);
  void StartAttempt(const RecordPtr& record);
  std::variant<Child, ExitStatus> StartProcess(const RecordPtr& record);
  std::variant<Child, ExitStatus> ForkAttempt(const RecordPtr& record);
  absl::Status Watch(const RecordPtr& record, const Child& child);
  absl::Status EnterChild(ProcessRecord& record);
  void OnAttemptEnd(const RecordPtr& record, ExitStatus status);
  ExitEvent TellEnd(ProcessRecord& record, ExitStatus status);
  bool TakeOomKill(const ExitStatus& status);
  void CloseOutput(ProcessRecord& record, int stream);
  // Whether another attempt will follow, for which the timer is then set.
  bool DecideRestart(const RecordPtr& record, const ExitStatus& status);
  void Escalate(const ProcessRecord& record, const ExitStatus& status);
  void EndForGood(const RecordPtr& record);
  void EndBetweenAttempts(const RecordPtr& record);

  absl::StatusOr<int> Collect(const os::Deadline& deadline);
  int HandleToken(uint64_t token);
  int HandleTimers();
  int ReapIfEnded(uint64_t id);
  void TakeOutput(uint64_t id, int stream);
  int NoticeAllReady();
  bool NoticeReady(const RecordPtr& record);

  size_t untold() const { return events_.size() + callbacks_.size(); }
  void RingForUntold();
  void RunCallbacks();
  void ExpandEvent(Event event);

  void SetTimer(ProcessRecord& record, absl::Duration at);
  void ArmTimer();

  pid_t owner_;
  std::shared_ptr<Kernel> kernel_;  // shared with a dispatch of its signals, whose handlers may close this
  os::FdLimit fd_limit_;
  ControlSlots control_slots_;
  MemorySlots memory_slots_;
  absl::BitGen random_;

  uint64_t oom_kills_seen_ = 0;  // of the kernel's counter: those before, and those that are an attempt's end

  uint64_t next_id_;
  absl::btree_map<uint64_t, RecordPtr> records_;  // those that have not ended for good, in start order
  absl::flat_hash_set<RecordPtr> not_ready_;      // those that run and may still say that they are ready
  absl::btree_set<std::pair<absl::Duration, uint64_t>> timers_;

  std::deque<Event> events_;
  std::deque<absl::AnyInvocable<void()>> callbacks_;  // of events that have been expanded: one call each

  StopPolicy stop_policy_;
  absl::Status escalation_;
  bool shutting_down_ = false;
  bool closed_ = false;
  std::deque<absl::AnyInvocable<void()>> shutdown_handlers_;

  std::unique_ptr<Self> self_;  // in a child of ours whose body takes one
};

}  // namespace ko

#endif  // KO_MANAGER_SUPERVISOR_H_
