#include "demos/workers/master.h"

#include <poll.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "demos/workers/messages.h"

namespace ko::demos {
namespace {

// A job's storage in a queue: its bytes, rounded up generously.
constexpr size_t kBytesPerJob = 256;
constexpr size_t kResultsBytes = 4 * kMaxOutputBytes;

// A worker that died is replaced at once, and again and again: the job that killed it runs in a process of its own.
constexpr RestartPolicy kKeepWorkers = {.initial_delay = absl::Milliseconds(10),
                                        .max_delay = absl::Seconds(1),
                                        .max_restarts = RestartPolicy::kUnlimited};

// What the workers have beyond the grace of their jobs, to hand back what they could not finish.
constexpr absl::Duration kWorkerGrace = absl::Seconds(2);

}  // namespace

Master::Master(WorkersSettings settings, std::vector<std::string> paths, bool keep_texts)
    : settings_(std::move(settings)), paths_(std::move(paths)), results_(paths_.size(), keep_texts) {}

absl::Status Master::Run() {
  manager_.SetProcessTitle(absl::StrCat("Master: ", settings_.workers, " workers, ", paths_.size(), " files"))
      .IgnoreError();
  manager_.SetStopPolicy({.grace = settings_.grace + kWorkerGrace});
  if (absl::Status made = MakeQueues(); !made.ok()) return made;
  if (absl::Status published = PublishJobs(); !published.ok()) return published;
  StartWorkers();
  absl::Status done = Loop();
  progress_.Clear();
  return done;
}

absl::Status Master::MakeQueues() {
  const size_t text_bytes =
      std::accumulate(paths_.begin(), paths_.end(), size_t{0},
                      [](size_t sum, const std::string& path) { return sum + path.size(); });
  // Workers, their jobs, and this process; jobs that have ended make room for others.
  const int participants = 4 * settings_.workers + 64;
  absl::StatusOr<std::unique_ptr<SharedJobQueue>> jobs = SharedJobQueue::Create(
      {.capacity_bytes = text_bytes + kBytesPerJob * (paths_.size() + 1), .max_participants = participants});
  if (!jobs.ok()) return jobs.status();
  absl::StatusOr<std::unique_ptr<SharedJobQueue>> results =
      SharedJobQueue::Create({.capacity_bytes = kResultsBytes, .max_participants = participants});
  if (!results.ok()) return results.status();
  absl::StatusOr<os::EventFd> bell = os::EventFd::Create();
  if (!bell.ok()) return bell.status();
  jobs_queue_ = *std::move(jobs);
  results_queue_ = *std::move(results);
  bell_ = *std::move(bell);
  return absl::OkStatus();
}

absl::Status Master::PublishJobs() {
  for (size_t id = 0; id < paths_.size(); ++id) {
    const JobMessage message{static_cast<uint32_t>(id), /*failures=*/0, paths_[id]};
    if (absl::Status published = jobs_queue_->Publish(message.Encode()); !published.ok()) return published;
  }
  return absl::OkStatus();
}

void Master::StartWorkers() {
  for (int number = 1; number <= settings_.workers; ++number) {
    workers_.push_back(manager_.Spawn(
        [this, number](Self& self) {
          self.SetProcessTitle(absl::StrCat("Worker: ", number, " of ", settings_.workers)).IgnoreError();
          return Worker(settings_, {jobs_queue_.get(), results_queue_.get(), &bell_}, self).Run();
        },
        kKeepWorkers));
  }
}

absl::Status Master::Loop() {
  while (results_.done() < results_.size() && manager_.HasAlive()) {
    pollfd fds[] = {{manager_.poll_fd(), POLLIN, 0}, {bell_.fd(), POLLIN, 0}};
    ::poll(fds, std::size(fds), -1);
    if (absl::StatusOr<int> handled = manager_.Dispatch(); !handled.ok()) return handled.status();
    if (absl::Status taken = TakeResults(); !taken.ok()) return taken;
    ShowProgress();
  }
  // Workers that wait for more leave now.
  if (absl::Status closed = jobs_queue_->Close(); !closed.ok()) return closed;
  if (absl::Status ended = manager_.Wait(); !ended.ok()) return ended;
  if (absl::Status taken = TakeResults(); !taken.ok()) return taken;  // of jobs that SIGTERM let finish
  if (results_.done() == results_.size() || manager_.IsShuttingDown()) return absl::OkStatus();
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
