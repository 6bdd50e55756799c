#include "demos/workers/worker.h"

#include <csignal>

#include "absl/strings/str_cat.h"
#include "demos/workers/job.h"

namespace ko::demos {
namespace {

// How long a full results queue is waited for: the master empties it all the time.
constexpr absl::Duration kPublishTimeout = absl::Minutes(1);

// An even, repeatable choice of `percent` of the jobs.
bool IsChosen(uint32_t id, int percent) {
  return (id * 2654435761u >> 8) % 100 < static_cast<uint32_t>(percent);
}

}  // namespace

absl::Status Worker::Run() {
  manager_.SetStopPolicy({.grace = settings_.grace});
  while (!self_.ShouldShutdown()) {
    absl::StatusOr<Job> job = queues_.jobs->Receive(settings_.exit_when_idle, self_.interrupt());
    if (absl::IsCancelled(job.status())) continue;                          // a signal
    if (absl::IsFailedPrecondition(job.status())) return absl::OkStatus();  // closed, and all is done
    if (absl::IsDeadlineExceeded(job.status())) return absl::OkStatus();    // idle for long enough
    if (!job.ok()) return job.status();
    if (absl::Status handled = Handle(*std::move(job)); !handled.ok()) return handled;
  }
  return absl::OkStatus();
}

absl::Status Worker::Handle(Job job) {
  std::optional<JobMessage> message = JobMessage::Decode(job.body());
  if (!message.has_value()) return job.Nack(/*requeue=*/false);

  absl::Status outcome;
  if (absl::Status ran = RunInProcess(*message, outcome); !ran.ok()) return ran;
  if (outcome.ok()) return job.Ack();
  if (manager_.IsShuttingDown()) return job.Nack();  // it was cut short: left for another time

  ++message->failures;
  if (message->failures >= kMaxAttempts) {
    const ResultMessage failed{message->path, /*ok=*/false, std::string(outcome.message())};
    if (absl::Status published = Publish(failed); !published.ok()) return published;
  } else if (absl::Status put_back = queues_.jobs->Publish(message->Encode(), kPublishTimeout);
             !put_back.ok()) {
    return put_back;
  }
  return job.Ack();
}

absl::Status Worker::RunInProcess(const JobMessage& message, absl::Status& outcome) {
  Process job = manager_.Fork([&](Self& self) { return DoJob(self, message); });
  job.OnError([&](const ExitStatus& status) { outcome = status.ToStatus(); });
  return AwaitJob(job).status();
}

absl::StatusOr<ExitStatus> Worker::AwaitJob(Process& job) {
  for (;;) {
    // A broker that hears nothing while a job takes its time would take the job back.
    const absl::Duration pause = queues_.jobs->Tend().value_or(absl::InfiniteDuration());
    const absl::StatusOr<ExitStatus> ended = job.Wait(pause);
    if (!absl::IsDeadlineExceeded(ended.status())) return ended;
  }
}

// In the job's process. It takes a Self, so that SIGTERM lets it finish.
absl::Status Worker::DoJob(Self& self, const JobMessage& message) {
  self.SetProcessTitle(absl::StrCat("Job: processing ", message.path)).IgnoreError();
  if (message.failures == 0 && IsChosen(message.id, settings_.crash_percent)) ::raise(SIGKILL);

  absl::StatusOr<std::string> text = settings_.command.empty()
                                         ? CountFile(message.path)
                                         : RunCommandOnFile(settings_.command, message.path, kMaxOutputBytes);
  if (!text.ok()) return text.status();
  return Publish({message.path, /*ok=*/true, *std::move(text)});
}

absl::Status Worker::Publish(const ResultMessage& result) {
  absl::Status published = queues_.results->Publish(result.Encode(), kPublishTimeout);
  if (published.ok()) queues_.bell->Notify();
  return published;
}

}  // namespace ko::demos
