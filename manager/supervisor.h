#ifndef KO_MANAGER_SUPERVISOR_H_
#define KO_MANAGER_SUPERVISOR_H_

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/manager/announcements.h"
#include "ko/manager/attempt.h"
#include "ko/manager/attempt_entry.h"
#include "ko/manager/control_slots.h"
#include "ko/manager/exit_event.h"
#include "ko/manager/group_keeper.h"
#include "ko/manager/memory_slots.h"
#include "ko/manager/process_event.h"
#include "ko/manager/process_record.h"
#include "ko/manager/record_list.h"
#include "ko/manager/self.h"
#include "ko/manager/stop_plan.h"
#include "ko/manager/timer_queue.h"
#include "ko/os/deadline.h"
#include "ko/os/epoll.h"
#include "ko/os/event_fd.h"
#include "ko/os/fd_limit.h"
#include "ko/os/fd_set.h"
#include "ko/os/oom_kills.h"
#include "ko/os/timer_fd.h"
#include "ko/process/notify_listener.h"
#include "ko/process/report_slots.h"
#include "ko/process/stop_policy.h"
#include "ko/signals/signal_dispatcher.h"

namespace ko {

// The part of a ProcessManager that talks to the kernel: it starts, watches and ends the processes of its records, as the
// policies decide, and has the program told (Announcements).
//
// One epoll instance holds a pidfd for each child, the signal dispatcher, a timer for whatever is due next, and a bell that
// children ring when they have something to say. It is one process's: in a forked child the copy stays as it was at the fork,
// so that nobody pays for what is in it, and the child has a Supervisor of its own where it needs one.
class Supervisor : public std::enable_shared_from_this<Supervisor>, private GroupKeeper::Hands {
 public:
  using RecordPtr = std::shared_ptr<ProcessRecord>;

  Supervisor();  // see Make
  // In one page, if it can be: what it writes to after a fork is to be copied.
  static std::shared_ptr<Supervisor> Make();
  ~Supervisor() override;

  // A record that runs, awaits its turn in `group`, or has ended with NotStarted.
  RecordPtr Start(ProcessSpec spec, GroupRecord* group = nullptr);
  void AddGroup(const std::shared_ptr<GroupRecord>& group, GroupRecord* parent);
  void StopGroup(GroupRecord& group);
  // All its members run and are ready.
  bool IsUp(const GroupRecord& group) const { return groups_.IsUp(group); }
  void CallEndHandlers(GroupRecord& group) override;
  // One that no longer belongs to its group is asked to end.
  void Dismiss(const RecordPtr& record);

  // Starts another attempt of a running process, which takes over when it is ready and has lived for `observe`; the old one
  // is then asked to end, with `reason`. `done` is told when it has, or why it stays. A replacement that is under way already
  // is cancelled.
  void Replace(const RecordPtr& record, absl::Duration observe, std::string reason,
               absl::AnyInvocable<void(const absl::Status&)> done);

  // Handles events and runs handlers until `done`, asked after each round, says so: true. False when the deadline is over
  // and what had happened by then is handled. Errors, here and below: Cancelled where a handler closed this.
  // `on_wake` is called ahead of each round's first event and handler, which may destroy who called this: what he needs
  // afterwards he takes hold of then, and not before he sleeps, when it would be a page to copy for each child.
  absl::StatusOr<bool> RunUntil(
      absl::FunctionRef<bool()> done, const os::Deadline& deadline,
      absl::FunctionRef<void()> on_wake = [] {});
  // One round: sleeps for the first event at most until the deadline. How many there were; 0 when it is over.
  absl::StatusOr<int> RunOnce(const os::Deadline& deadline);

  void AddHandler(const RecordPtr& record, ProcessHandler handler);
  void AddEventHandler(absl::AnyInvocable<void(const ProcessEvent&)> handler);
  void AddShutdownHandler(absl::AnyInvocable<void()> handler);
  // Also for what a pool has to tell.
  void TellGroup(const GroupRecord& group, ProcessEvent::Kind kind, absl::Duration delay,
                 std::string reason) override;
  // Has its turn with the other handlers.
  void Call(absl::AnyInvocable<void()> call);

  absl::Status Kill(ProcessRecord& record, int signo);
  // InvalidArgument where it is none.
  static absl::Status CheckSignal(int signo);
  // Asks a process to end for good, by its own plan where there is no other; at a second call the earlier end counts.
  void RequestStop(const RecordPtr& record, const std::optional<StopPlan>& plan = std::nullopt);
  // Every process by its own plan where there is no other.
  void BeginShutdown(const std::optional<StopPlan>& plan);

  // Ends and reaps everything, without running a handler. Nothing can be started afterwards.
  void Close();
  // Gives back all descriptors, for a process that is about to be replaced by a daemon; those it needs are opened again.
  void ReleaseKernelSide();
  // The daemon goes on with what was registered before.
  void AdoptCurrentProcess();

  bool IsOwnedByThisProcess() const;
  // In a child of this one's, or of its child's: the body that it runs lies in this.
  bool HoldsRunningBody() const;
  // Opens the descriptors where they are not open yet.
  absl::Status EnsureOpen();
  int poll_fd() const { return kernel_->epoll.fd(); }
  SignalDispatcher& signals() { return kernel_->signals; }
  size_t size() const { return records_.size(); }
  bool closed() const { return closed_; }
  // Aborted, naming the process and its end, where one has reached a limit that ends all.
  absl::Status escalation() const { return escalation_; }
  bool shutting_down() const { return shutting_down_; }
  void SetStopPolicy(const StopPolicy& policy);

 private:
  struct Kernel {
    os::Epoll epoll;
    os::TimerFd timer;
    os::EventFd bell;
    SignalDispatcher signals;
    os::OomKills oom_kills;
    std::optional<NotifyListener> notifications;  // from the first command on that may have something to say
  };

  // An attempt that lives, and whose it is.
  struct Watched {
    RecordPtr record;
    Attempt* attempt;
  };

  absl::Status SubscribeSignals();
  void Abandon();

  // Starting.
  absl::Status CheckSpec(const ProcessSpec& spec, const GroupRecord* group) const;
  absl::Status GiveMemory(ProcessRecord& record);
  ControlSlots& SlotsOf(const ProcessRecord& record) {
    return record.region != nullptr ? record.region->control_slots() : control_slots_;
  }
  void StartCurrent(const RecordPtr& record);
  // Empty, or why there is no attempt.
  std::optional<ExitStatus> StartAttempt(const RecordPtr& record, Attempt::Role role);
  Attempt& MakeAttempt(const RecordPtr& record, Attempt::Role role, ControlSlotRef control);
  void Forget(ProcessRecord& record, Attempt& attempt);
  std::variant<Child, ExitStatus> StartProcess(const RecordPtr& record, Attempt& attempt,
                                               const AttemptFacts& facts);
  std::variant<Child, ExitStatus> StartCommand(const ProcessRecord& record, const Attempt& attempt);
  std::variant<Child, ExitStatus> ServeAttempt(const ProcessRecord& record, const Attempt& attempt,
                                               const AttemptFacts& facts);
  static void Confine(const Child& child, const Attempt& attempt);
  static AttemptFacts FactsOf(const ProcessRecord& record, const Attempt& attempt, const Attempt* followed);
  std::variant<Child, ExitStatus> ForkAttempt(ProcessRecord& record, Attempt& attempt,
                                              const AttemptFacts& facts);
  struct Launch;
  absl::Status EnterChild(Launch& launch);
  absl::Status Watch(const Attempt& attempt);
  void ListFds();
  void Number(ProcessRecord& record, Attempt& attempt, Attempt::Role role);
  void Begin(const RecordPtr& record, Attempt& attempt);

  // Spares.
  static bool KeepsSpare(const ProcessRecord& record) {
    return record.spec.restart.has_value() && record.spec.restart->hot_spare;
  }
  void KeepSpare(const RecordPtr& record);
  static const Attempt* GiveLeave(const ProcessRecord& record, const Attempt& spare);
  static bool HasSpareBegun(const ProcessRecord& record);
  void EndFollowed(const RecordPtr& record);
  void DropSpare(ProcessRecord& record);
  std::optional<RestartTracker::Decision> LetSpareBegin(const RecordPtr& record, const Attempt& ended,
                                                        const ExitStatus& status);
  bool GiveTurn(const RecordPtr& record);
  bool UseSpare(const RecordPtr& record);

  // Ending.
  void OnAttemptEnd(const RecordPtr& record, Attempt& attempt, ExitStatus status);
  void OnCurrentEnd(const RecordPtr& record, ExitEvent exit, bool to_restart,
                    std::optional<RestartTracker::Decision> decided);
  void FailStart(const RecordPtr& record, ExitStatus status);
  void TellExited(const ProcessRecord& record, const ExitEvent& exit);
  ExitEvent Reap(ProcessRecord& record, Attempt& attempt, ExitStatus status);
  void KeepExit(const RecordPtr& record, const ExitEvent& exit);
  bool TakeOomKill(const ExitStatus& status);
  void CloseOutput(Attempt& attempt, int stream);
  RestartTracker::Decision DecideRestart(const RecordPtr& record, const ExitStatus& status,
                                         absl::Duration run_time);
  void AwaitRestart(const RecordPtr& record, absl::Duration delay);
  void OnRestartDue(const RecordPtr& record);
  void EndForGood(const RecordPtr& record);
  void EndBetweenAttempts(const RecordPtr& record);

  // Stopping.
  StopPlan PlanOf(const ProcessRecord& record) const;
  static StopTarget TargetOf(const ProcessRecord& record);
  void StopAttempt(const RecordPtr& record, Attempt& attempt, const StopPlan& plan, std::string reason);
  void Signal(const RecordPtr& record, Attempt& attempt, const StopTracker::Action& action);
  void SendTo(const ProcessRecord& record, Attempt& attempt, int signo);
  void KillLeftovers(const ProcessRecord& record, Attempt& attempt);

  // Watching over.
  void OnTimer(const RecordPtr& record, Attempt& attempt);
  void Check(const RecordPtr& record, Attempt& attempt);
  bool CheckLife(const RecordPtr& record, Attempt& attempt, absl::Duration now, absl::Duration& next);
  void Hang(const RecordPtr& record, Attempt& attempt, std::string why);
  void CheckAge(const RecordPtr& record, Attempt& attempt, absl::Duration now, absl::Duration& next);
  void RecycleNow(const RecordPtr& record, Recycle why);
  void RecycleLater(const RecordPtr& record);

  // Replacing.
  void OnSuccessorReady(const RecordPtr& record);
  void Promote(const RecordPtr& record);
  void FinishReplacement(const RecordPtr& record, absl::Status status);

  // Events.
  absl::StatusOr<int> RunRound(const os::Deadline& deadline, absl::FunctionRef<void()> on_wake);
  absl::StatusOr<int> Collect(const os::Deadline& deadline, absl::FunctionRef<void()> on_wake = [] {});
  absl::Status TakeTokens(const os::Deadline& deadline);
  int HandleToken(uint64_t token);
  int ReapIfEnded(uint64_t id);
  void TakeOutput(uint64_t id, int stream);
  int AnswerBell();
  // NOTIFY_SOCKET and what belongs to it, for a command that may have something to say.
  absl::StatusOr<std::vector<std::string>> EnvironmentFor(const ProcessRecord& record);
  int TakeNotifications();
  std::optional<Watched> FindSender(pid_t pid) const;
  bool NoticeReady(const RecordPtr& record, Attempt& attempt);
  void BeReady(const RecordPtr& record, Attempt& attempt);
  // Outside of a round: poll_fd is readable when something is due.
  void WakeWaiter();
  void Arm();
  void RingForUntold();
  void RunCallbacks();

  ProcessEvent EventOf(const ProcessRecord& record, const Attempt* attempt, ProcessEvent::Kind kind) const;
  void Tell(
      const ProcessRecord& record, const Attempt* attempt, ProcessEvent::Kind kind,
      absl::FunctionRef<void(ProcessEvent&)> fill = [](ProcessEvent&) {});

  // GroupKeeper::Hands.
  void StartMember(const RecordPtr& member) override { StartCurrent(member); }
  void StopToRestart(const RecordPtr& member) override;
  void StopForGood(const RecordPtr& member) override;
  void Escalate(const absl::Status& why) override;
  absl::Duration Now() override;
  double Random() override;

  uint64_t owner_;                  // the mark of its process
  std::shared_ptr<Kernel> kernel_;  // shared with a dispatch of its signals, whose handlers may close this
  absl::InlinedVector<uint64_t, 4> taken_;  // tokens from its epoll, the next one last
  os::FdSet fds_;                           // all that kernel_, attempts_ but the newest, and the records own
  const Attempt* unlisted_ = nullptr;       // that newest one
  os::FdLimit fd_limit_;
  ControlSlots control_slots_;
  MemorySlots memory_slots_;
  ReportSlots report_slots_;
  absl::BitGen random_;
  TimerQueue timers_;
  Announcements announcements_;
  GroupKeeper groups_{*this, timers_};

  uint64_t oom_kills_seen_ = 0;  // of the kernel's counter: those before, and those that are an attempt's end
  bool oom_kills_counted_ = false;  // in this round, for one's end: others' may be among them

  uint64_t next_id_ = 1;
  uint64_t next_token_;
  RecordList records_;                               // those that have not ended for good
  absl::flat_hash_map<uint64_t, Watched> attempts_;  // those that live
  absl::flat_hash_set<uint64_t> may_ring_;  // those of them that may still have something to say by the bell

  std::optional<StopPlan> shutdown_plan_;
  StopPolicy stop_policy_;
  absl::Status escalation_;
  bool shutting_down_ = false;
  bool closed_ = false;
  std::deque<absl::AnyInvocable<void()>> shutdown_handlers_;

  // This, in a child whose body lies in it, from the time that nobody else has it.
  std::shared_ptr<Supervisor> kept_;
};

}  // namespace ko

#endif  // KO_MANAGER_SUPERVISOR_H_
