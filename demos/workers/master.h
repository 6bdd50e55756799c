#ifndef KO_DEMOS_WORKERS_MASTER_H_
#define KO_DEMOS_WORKERS_MASTER_H_

#include <memory>
#include <string>
#include <vector>

#include "demos/workers/progress.h"
#include "demos/workers/results.h"
#include "demos/workers/settings.h"
#include "demos/workers/worker.h"
#include "ko/ko.h"
#include "ko/os/event_fd.h"

namespace ko::demos {

// The master: publishes a job for every file, keeps the workers alive, and gathers the results; or one half of that, as its
// role says. On a broker each worker has a connection of its own, and this process has one only while it publishes.
class Master {
 public:
  Master(WorkersSettings settings, std::vector<std::string> paths, bool keep_texts);

  // Until every job is done, the workers have left because nothing came for long enough, or SIGTERM has come and the
  // running jobs are finished. Errors: the queues could not be made, or the broker not be reached; Aborted where the
  // workers are gone for good.
  absl::Status Run();

  const Results& results() const { return results_; }
  size_t published() const { return published_; }
  // Before all that there was to be done.
  bool was_stopped() const;
  int restarts() const;

 private:
  absl::Status MakeQueues();
  absl::Status MakeJobsQueue(int participants);
  absl::Status PublishJobs();
  void StartWorkers();
  absl::Status RunWorker(int number, Self& self);
  bool IsDone() const;
  absl::Status Loop();
  absl::Status LetWorkersLeave();
  absl::Status TakeResults();
  void ShowProgress();

  const WorkersSettings settings_;
  const std::vector<std::string> paths_;
  Results results_;
  size_t published_ = 0;
  Progress progress_;
  std::unique_ptr<JobQueue> jobs_queue_;  // on a broker: none while there are workers
  std::unique_ptr<JobQueue> results_queue_;
  os::EventFd bell_;
  std::vector<Process> workers_;
  ProcessManager manager_;  // the last: its destruction ends the workers, which use what stands above
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_MASTER_H_
