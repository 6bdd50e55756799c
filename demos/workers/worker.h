#ifndef KO_DEMOS_WORKERS_WORKER_H_
#define KO_DEMOS_WORKERS_WORKER_H_

#include "demos/workers/messages.h"
#include "demos/workers/settings.h"
#include "ko/ko.h"
#include "ko/os/event_fd.h"

namespace ko::demos {

// The largest output of a command that a job passes on.
inline constexpr size_t kMaxOutputBytes = 16 << 20;

// The jobs, which may be on a broker, and what the master shares with its workers.
struct Queues {
  JobQueue* jobs;
  JobQueue* results;
  const os::EventFd*
      bell;  // rung when there is a new result, for the master that waits for its workers as well
};

// A worker's process: leases one job after the other, runs each in a process of its own, publishes what became of it, and
// acknowledges. A job that fails goes back, kMaxAttempts times in all, and is then reported as failed. Leaves when the
// queue is closed, when nothing has come for the settings' time, and on SIGTERM after the running job.
//
// Killed anywhere, it loses nothing: an unacknowledged job comes back, and a result published twice is the same twice.
class Worker {
 public:
  static constexpr uint32_t kMaxAttempts = 3;

  Worker(const WorkersSettings& settings, Queues queues, Self& self)
      : settings_(settings), queues_(queues), self_(self) {}

  absl::Status Run();

 private:
  absl::Status Handle(Job job);
  absl::Status RunInProcess(const JobMessage& message, absl::Status& outcome);
  absl::Status DoJob(Self& self, const JobMessage& message);
  absl::StatusOr<ExitStatus> AwaitJob(Process& job);
  absl::Status Publish(const ResultMessage& result);

  const WorkersSettings& settings_;
  const Queues queues_;
  Self& self_;
  ProcessManager manager_;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_WORKER_H_
