#ifndef KO_MANAGER_PROCESS_MANAGER_H_
#define KO_MANAGER_PROCESS_MANAGER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/manager/group.h"
#include "ko/manager/group_options.h"
#include "ko/manager/group_plan.h"
#include "ko/manager/managed_body.h"
#include "ko/manager/process.h"
#include "ko/manager/process_event.h"
#include "ko/manager/process_options.h"
#include "ko/manager/restart_policy.h"
#include "ko/manager/self.h"
#include "ko/manager/served_body.h"
#include "ko/manager/worker_pool.h"
#include "ko/process/command.h"
#include "ko/process/daemonize.h"
#include "ko/process/fork_server.h"
#include "ko/process/stop_policy.h"
#include "ko/signals/signal_dispatcher.h"

namespace ko {

class Supervisor;

// Runs functions in processes, keeps them alive, and ends them in good order.
//
//   ko::ProcessManager manager;
//   manager.Fork([](ko::Self& self) { absl::PrintF("Hello from %d\n", self.pid()); })
//       .OnSuccess([] { absl::PrintF("Success finish!\n"); })
//       .Wait();
//
// Nothing polls: every wait sleeps in the kernel until a child ends or is ready, a signal comes, or a restart is due.
//
// On SIGTERM and SIGINT (unless that is ignored, as in the background) it shuts down, inside Dispatch or Wait: the
// OnShutdown handlers run, then the children get SIGTERM in the reverse order of their starts, after the grace time
// SIGKILL, and nothing is started any more; those of a group one after the other, those with a plan of their own by it. Several managers in a process each do so for their own children; a manager
// in a managed child leaves the terminal's Ctrl-C to its parent.
//
// Destruction stops what is left in the same way, without calling handlers, and reaps it.
//
// Threads: one at a time; refuses to fork while the process has other threads (the start fails). The thread that starts a
// child must live as long as the child. Fork: in a child, however forked, it is empty, as new. Signals: see above;
// the previous dispositions come back when it is destroyed. Crash: the kernel kills the children of a manager that dies.
// Errors: a start that fails is the process's end (ExitStatus::NotStarted), told by OnError and Process::Wait.
class ProcessManager {
 public:
  ProcessManager();
  ProcessManager(ProcessManager&&) noexcept;
  ProcessManager& operator=(ProcessManager&&) noexcept;
  ~ProcessManager();

  // Runs `body` once in a child. For what a body may be see managed_body.h.
  Process Fork(ManagedBody body, ProcessOptions options = {});
  // Keeps `body` running: started again when it ends, as the policy says. A policy or options that make no sense (Validate)
  // are a failed start.
  Process Spawn(ManagedBody body, RestartPolicy policy = {}, ProcessOptions options = {});

  // Keeps a command running in the same way. It gets SIGTERM, and dies with the manager, as a body does, and is in
  // a process group of its own, out of the terminal's reach. Where its output is Stdio::Pipe() the manager reads
  // it, in Dispatch and Wait, and keeps its end: the last lines come with its ExitEvent and the message of its
  // ExitStatus. What the command leaves running when it ends writes into a closed pipe. Its standard input cannot
  // be a pipe. Where it is to tell that it is ready, or that it goes on (ReadyWhen::kNotified,
  // LivenessPolicy::heartbeat_deadline), it finds NOTIFY_SOCKET and WATCHDOG_USEC in its environment, see sd_notify(3);
  // it and its process group are listened to.
  Process Spawn(Command command, RestartPolicy policy = {}, ProcessOptions options = {});

  // From now on `server` forks what Fork<&Function> and Spawn<&Function> start: at a price that does not depend on this
  // process's memory, and also while it has other threads. The function may take Self& before its arguments. Each process has
  // a descriptor more here. See served_body.h; for groups, pools and other servers, OnForkServer.
  //
  //   manager.UseForkServer(server);
  //   manager.Spawn<&Resize>(path, 640);
  void UseForkServer(const ForkServer& server) { fork_server_ = server.Share(); }
  template <auto Function, class... Args>
  Process Fork(Args&&... args) {
    return ForkWith<Function>({}, std::forward<Args>(args)...);
  }
  template <auto Function, class... Args>
  Process ForkWith(ProcessOptions options, Args&&... args) {
    return Fork(Served<Function>(std::forward<Args>(args)...), std::move(options));
  }
  template <auto Function, class... Args>
  Process Spawn(Args&&... args) {
    return SpawnWith<Function>({}, {}, std::forward<Args>(args)...);
  }
  template <auto Function, class... Args>
  Process SpawnWith(RestartPolicy policy, ProcessOptions options, Args&&... args) {
    return Spawn(Served<Function>(std::forward<Args>(args)...), std::move(policy), std::move(options));
  }

  // A group of processes that are started, restarted and stopped together. See group.h.
  ko::Group Group(Strategy strategy, GroupOptions options = {});

  // `workers` processes with the same body, each kept alive as the policy says. See worker_pool.h.
  WorkerPool SpawnPool(int workers, ManagedBody body,
                       RestartPolicy policy = {.when = RestartPolicy::When::kAlways},
                       ProcessOptions options = {});

  // Waits until no process is left, neither running nor about to be restarted. Errors: DeadlineExceeded; Aborted, naming
  // the end, where a process reached the limit of a policy that escalates, so that all were stopped; Cancelled, here and
  // in Dispatch, where a handler destroyed the manager.
  absl::Status Wait(absl::Duration timeout = absl::InfiniteDuration());
  // Handles what has happened, or, where nothing has, what happens first within `timeout`; runs handlers. How many events
  // there were, 0 when the time was over. For loops of one's own.
  absl::StatusOr<int> Dispatch(absl::Duration timeout = absl::ZeroDuration());
  // Readable when Dispatch has something to do. -1 where there are no descriptors left. Another one after Daemonize.
  int poll_fd();

  // `handler` is told of everything that happens to any process or group from now on, in order, in Dispatch and Wait.
  void OnEvent(absl::AnyInvocable<void(const ProcessEvent&)> handler);

  size_t size() const;  // processes that run or will be started again, as of the last Dispatch or Wait
  bool HasAlive() const { return size() > 0; }

  // `handler` runs when a shutdown begins, before any child is told; from this call on a SIGTERM finds it. Several run in
  // order; one that is added after the beginning runs in the next Dispatch or Wait.
  void OnShutdown(absl::AnyInvocable<void()> handler);
  // Shuts down as on SIGTERM, and waits for the end; with a policy that is every process's, whatever its own plan. Called
  // again, with a shorter grace, it makes haste. Errors: InvalidArgument for a policy whose signal is none; Wait's.
  absl::Status Shutdown(StopPolicy policy);
  absl::Status Shutdown();
  bool IsShuttingDown() const;
  // How those are stopped that have no plan of their own (ProcessOptions::stop).
  void SetStopPolicy(StopPolicy policy);

  // See daemonize.h. Refused with FailedPrecondition while there are children: they would not be the daemon's. Handlers of
  // OnShutdown are kept; signals() is a new one in the daemon, without handlers.
  absl::StatusOr<DaemonLaunch> Daemonize(DaemonOptions options = {});

  absl::Status SetProcessTitle(std::string_view title);

  // For handlers of the program's own; dispatched by Dispatch and Wait. As with StatusOr::value(), the program ends where
  // there are no descriptors left for it.
  SignalDispatcher& signals();

 private:
  // This process's. In a forked child that is a new one, at the first call that needs it.
  const std::shared_ptr<Supervisor>& supervisor();
  template <auto Function, class... Args>
  ServedBody Served(Args&&... args) {
    return internal::MakeServedBody<Function>(
        fork_server_.has_value() ? std::optional(fork_server_->Share()) : std::nullopt,
        std::forward<Args>(args)...);
  }

  std::shared_ptr<Supervisor> supervisor_;
  std::optional<ForkServer> fork_server_;
};

}  // namespace ko

#endif  // KO_MANAGER_PROCESS_MANAGER_H_
