#include "demos/workers/master.h"

#include <poll.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "demos/workers/messages.h"
#include "ko/amqp/open_job_queue.h"

namespace ko::demos {
namespace {

using Role = WorkersSettings::Role;

// A job's storage in a queue: its bytes, rounded up generously.
constexpr size_t kBytesPerJob = 256;
constexpr size_t kResultsBytes = 4 * kMaxOutputBytes;

// So many jobs are published between two looks at the signals.
constexpr size_t kBatch = 1000;

// A worker that died is replaced at once, and again and again: the job that killed it runs in a process of its own.
constexpr RestartPolicy kKeepWorkers = {.initial_delay = absl::Milliseconds(10),
                                        .max_delay = absl::Seconds(1),
                                        .max_restarts = RestartPolicy::kUnlimited};

// What the workers have beyond the grace of their jobs, to hand back what they could not finish.
constexpr absl::Duration kWorkerGrace = absl::Seconds(2);

std::string MasterTitle(const WorkersSettings& settings, size_t files) {
  if (settings.role == Role::kPublish) return absl::StrCat("Master: publishes ", files, " files");
  if (settings.role == Role::kWork) return absl::StrCat("Master: ", settings.workers, " workers");
  return absl::StrCat("Master: ", settings.workers, " workers, ", files, " files");
}

}  // namespace

Master::Master(WorkersSettings settings, std::vector<std::string> paths, bool keep_texts)
    : settings_(std::move(settings)),
      paths_(std::move(paths)),
      results_(paths_, {.keep_texts = keep_texts, .of_others = !settings_.broker.empty()}) {}

absl::Status Master::Run() {
  manager_.SetProcessTitle(MasterTitle(settings_, paths_.size())).IgnoreError();
  manager_.SetStopPolicy({.grace = settings_.grace + kWorkerGrace});
  if (absl::Status made = MakeQueues(); !made.ok()) return made;
  if (absl::Status published = PublishJobs(); !published.ok()) return published;
  if (settings_.role == Role::kPublish) return absl::OkStatus();
  if (!settings_.broker.empty()) jobs_queue_.reset();  // its connection is not for the workers
  StartWorkers();
  absl::Status done = Loop();
  progress_.Clear();
  return done;
}

absl::Status Master::MakeJobsQueue(int participants) {
  const size_t text_bytes =
      std::accumulate(paths_.begin(), paths_.end(), size_t{0},
                      [](size_t sum, const std::string& path) { return sum + path.size(); });
  absl::StatusOr<std::unique_ptr<JobQueue>> jobs = OpenJobQueue(
      settings_.broker.empty() ? "shm:" : settings_.broker,
      {.capacity_bytes = text_bytes + kBytesPerJob * (paths_.size() + 1), .max_participants = participants});
  if (!jobs.ok()) return jobs.status();
  jobs_queue_ = *std::move(jobs);
  // A broker that cannot be used is told of now, and not by each worker.
  return jobs_queue_->Stats().status();
}

absl::Status Master::MakeQueues() {
  // Workers, their jobs, and this process; jobs that have ended make room for others.
  const int participants = 4 * settings_.workers + 64;
  if (absl::Status made = MakeJobsQueue(participants); !made.ok()) return made;
  absl::StatusOr<std::unique_ptr<SharedJobQueue>> results =
      SharedJobQueue::Create({.capacity_bytes = kResultsBytes, .max_participants = participants});
  if (!results.ok()) return results.status();
  absl::StatusOr<os::EventFd> bell = os::EventFd::Create();
  if (!bell.ok()) return bell.status();
  results_queue_ = *std::move(results);
  bell_ = *std::move(bell);
  return absl::OkStatus();
}

absl::Status Master::PublishJobs() {
  while (published_ < paths_.size() && !manager_.IsShuttingDown()) {
    std::vector<std::string> batch;
    const size_t end = std::min(published_ + kBatch, paths_.size());
    for (size_t id = published_; id < end; ++id) {
      batch.push_back(JobMessage{static_cast<uint32_t>(id), /*failures=*/0, paths_[id]}.Encode());
    }
    if (absl::Status published = jobs_queue_->PublishAll(batch); !published.ok()) return published;
    published_ = end;
    if (absl::StatusOr<int> handled = manager_.Dispatch(); !handled.ok()) return handled.status();
  }
  return absl::OkStatus();
}

void Master::StartWorkers() {
  for (int number = 1; number <= settings_.workers; ++number) {
    workers_.push_back(
        manager_.Spawn([this, number](Self& self) { return RunWorker(number, self); }, kKeepWorkers));
  }
}

// In the worker's process.
absl::Status Master::RunWorker(int number, Self& self) {
  self.SetProcessTitle(absl::StrCat("Worker: ", number, " of ", settings_.workers)).IgnoreError();
  if (!settings_.broker.empty()) {
    absl::StatusOr<std::unique_ptr<JobQueue>> jobs = OpenJobQueue(settings_.broker);
    if (!jobs.ok()) return jobs.status();
    jobs_queue_ = *std::move(jobs);
  }
  return Worker(settings_, {jobs_queue_.get(), results_queue_.get(), &bell_}, self).Run();
}

// The work itself has an end only where the files are known.
bool Master::IsDone() const { return settings_.role == Role::kBoth && results_.done() == results_.size(); }

bool Master::was_stopped() const {
  if (!manager_.IsShuttingDown()) return false;
  return settings_.role == Role::kPublish ? published_ < paths_.size() : !IsDone();
}

absl::Status Master::LetWorkersLeave() {
  if (jobs_queue_ != nullptr) return jobs_queue_->Close();
  return IsDone() ? manager_.Shutdown() : absl::OkStatus();
}

absl::Status Master::Loop() {
  while (!IsDone() && manager_.HasAlive()) {
    pollfd fds[] = {{manager_.poll_fd(), POLLIN, 0}, {bell_.fd(), POLLIN, 0}};
    ::poll(fds, std::size(fds), -1);
    if (absl::StatusOr<int> handled = manager_.Dispatch(); !handled.ok()) return handled.status();
    if (absl::Status taken = TakeResults(); !taken.ok()) return taken;
    ShowProgress();
  }
  if (absl::Status told = LetWorkersLeave(); !told.ok()) return told;
  if (absl::Status ended = manager_.Wait(); !ended.ok()) return ended;
  if (absl::Status taken = TakeResults(); !taken.ok()) return taken;  // of jobs that SIGTERM let finish
  if (IsDone() || manager_.IsShuttingDown()) return absl::OkStatus();
  const bool all_left_by_themselves = absl::c_all_of(workers_, [](const Process& worker) {
    return worker.exit_status().value_or(ExitStatus::Unknown()).ok();
  });
  if (!settings_.broker.empty() && all_left_by_themselves) return absl::OkStatus();  // idle
  return absl::AbortedError("all workers are gone");
}

absl::Status Master::TakeResults() {
  bell_.Drain();
  for (;;) {
    absl::StatusOr<Job> job = results_queue_->Receive(absl::ZeroDuration());
    if (absl::IsDeadlineExceeded(job.status())) return absl::OkStatus();
    if (!job.ok()) return job.status();
    if (std::optional<ResultMessage> result = ResultMessage::Decode(job->body()); result.has_value()) {
      results_.Add(*std::move(result));
    }
    if (absl::Status acked = job->Ack(); !acked.ok()) return acked;
  }
}

int Master::restarts() const {
  return std::accumulate(workers_.begin(), workers_.end(), 0,
                         [](int sum, const Process& worker) { return sum + worker.restarts(); });
}

void Master::ShowProgress() {
  progress_.Show({results_.done(), results_.failed(), results_.size(), manager_.size(), restarts()});
}

}  // namespace ko::demos
