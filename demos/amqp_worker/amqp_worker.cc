#include "demos/amqp_worker/amqp_worker.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ko/amqp/open_job_queue.h"
#include "ko/ko.h"

namespace ko::demos {

void AmqpWorker::AddFlags(FlagSet& flags) {
  flags.Add("queue", &queue_, "where the jobs come from");
  flags.Add("job_time", &job_time_, "how long each job takes");
}

int AmqpWorker::Run() {
  ko::ProcessManager manager;
  manager.SetProcessTitle("Master:working...").IgnoreError();
  ko::Process worker = manager.Spawn([this](ko::Self& self) -> absl::Status {
    absl::StatusOr<std::unique_ptr<ko::JobQueue>> queue = ko::OpenJobQueue(queue_);
    if (!queue.ok()) return queue.status();
    ko::ProcessManager jobs;
    while (!self.ShouldShutdown()) {
      self.SetProcessTitle("Worker:waiting").IgnoreError();
      absl::StatusOr<ko::Job> job = (*queue)->Receive(absl::InfiniteDuration(), self.interrupt());
      if (absl::IsCancelled(job.status())) continue;  // a signal
      if (!job.ok()) return job.status();
      self.SetProcessTitle(absl::StrCat("Worker:processJob ", job->body())).IgnoreError();
      jobs.Fork([&](ko::Self& self) {
            self.SetProcessTitle(absl::StrCat("Job:processing ", job->body())).IgnoreError();
            self.Sleep(job_time_);
            absl::PrintF("Done: %s\n", job->body());
          })
          .OnSuccess([&] { job->Ack().IgnoreError(); })
          .Wait()
          .IgnoreError();
    }
    return absl::OkStatus();
  });
  worker.OnError([](const ko::ExitStatus& status) {
    absl::FPrintF(stderr, "worker: %s\n", status.ToStatus().message());
  });
  manager.Wait().IgnoreError();
  absl::PrintF("The worker has left\n");
  return worker.exit_status().has_value() && worker.exit_status()->ok() ? 0 : 1;
}

}  // namespace ko::demos
