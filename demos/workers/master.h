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

// The master: publishes a job for every file, keeps the workers alive, and gathers the results.
class Master {
 public:
  Master(WorkersSettings settings, std::vector<std::string> paths, bool keep_texts);

  // Until every job is done, or SIGTERM has come and the running ones are finished. Errors: the queues could not be made;
  // Aborted where the workers are gone for good.
  absl::Status Run();

  const Results& results() const { return results_; }
  bool was_stopped() const { return manager_.IsShuttingDown() && results_.done() < results_.size(); }
  int restarts() const;

 private:
  absl::Status MakeQueues();
  absl::Status PublishJobs();
  void StartWorkers();
  absl::Status Loop();
  absl::Status TakeResults();
  void ShowProgress();

  const WorkersSettings settings_;
  const std::vector<std::string> paths_;
  Results results_;
  Progress progress_;
  std::unique_ptr<JobQueue> jobs_queue_;
  std::unique_ptr<JobQueue> results_queue_;
  os::EventFd bell_;
  std::vector<Process> workers_;
  ProcessManager manager_;  // the last: its destruction ends the workers, which use what stands above
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_MASTER_H_
