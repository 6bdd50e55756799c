#include "demos/workers/workers.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "demos/host/host.h"
#include "demos/workers/file_list.h"
#include "demos/workers/master.h"
#include "ko/ko.h"

namespace ko::demos {
namespace {

constexpr size_t kShownFailures = 10;

using Role = WorkersSettings::Role;

void PrintPublished(const Master& master, size_t files, absl::Duration time) {
  absl::PrintF("%d of %d files published in %.2f s%s\n", master.published(), files,
               absl::ToDoubleSeconds(time), master.was_stopped() ? "; stopped" : "");
}

// What has become of files that this run has published and not done.
std::string Rest(const Master& master) {
  const Results& results = master.results();
  const size_t open = results.size() - results.done();
  if (master.was_stopped())
    return open > 0 ? absl::StrFormat("; stopped, %d left undone", open) : "; stopped";
  return open > 0 ? absl::StrFormat("; %d done elsewhere or left in the queue", open) : "";
}

void PrintSummary(const Master& master, absl::Duration time) {
  const Results& results = master.results();
  for (const std::string& failure : results.Failures(kShownFailures)) {
    absl::FPrintF(stderr, "failed: %s\n", failure);
  }
  if (results.failed() > kShownFailures)
    absl::FPrintF(stderr, "failed: and %d more\n", results.failed() - kShownFailures);
  const double seconds = absl::ToDoubleSeconds(time);
  absl::PrintF("%d of %d files done in %.2f s (%.0f a second), %d failed, %d worker restarts%s\n",
               results.succeeded(), results.size(), seconds, seconds > 0 ? results.done() / seconds : 0,
               results.failed(), master.restarts(), Rest(master));
}

}  // namespace

Workers::Workers() { flags_.workers = static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

void Workers::AddFlags(FlagSet& flags) {
  flags.Add("path", &flags_.path, "the folder whose files are worked on, or one file");
  flags.Add("workers", &flags_.workers, "how many worker processes");
  flags.Add("job", &flags_.job,
            "count: lines and bytes of each file; exec:COMMAND: runs COMMAND with the file's path as last "
            "argument and "
            "takes what it prints (no shell: words are split at spaces)");
  flags.Add("queue", &flags_.queue,
            "where the jobs wait: shm:, shared memory, or amqp://user:password@host:port/vhost?queue=NAME, a "
            "RabbitMQ "
            "broker that runs on many machines share");
  flags.Add("role", &flags_.role,
            "with a broker: publish only publishes the files, work only works (on whatever is in the queue, "
            "until it "
            "is told to stop), both does both");
  flags.Add("exit_when_idle", &flags_.exit_when_idle,
            "with a broker: a worker leaves when no job has come for so long");
  flags.Add("out", &flags_.out,
            "the results, sorted by path: LINES BYTES PATH for count, what was printed for exec");
  flags.Add(
      "crash_percent", &flags_.crash_percent,
      "this share of the jobs kill themselves (SIGKILL) at the first attempt; the results stay the same");
  flags.Add("grace", &flags_.grace, "how long running jobs may go on after SIGTERM or Ctrl-C");
}

int Workers::Run() {
  const auto complain = [](const absl::Status& status) {
    absl::FPrintF(stderr, "workers: %s\n", status.message());
    return kExitUsage;
  };
  absl::StatusOr<WorkersSettings> settings = WorkersSettings::FromFlags(flags_);
  if (!settings.ok()) return complain(settings.status());
  ko::SetProcessTitle("Master: starts")
      .IgnoreError();  // a password on the command line is not for everybody's eyes
  const Role role = settings->role;
  absl::StatusOr<FileList> files = role == Role::kWork ? FileList{} : ListFiles(flags_.path);
  if (!files.ok()) return complain(files.status());
  for (const std::string& folder : files->skipped) absl::FPrintF(stderr, "skipped: %s\n", folder);
  if (files->paths.empty() && role != Role::kWork)
    absl::FPrintF(stderr, "workers: there is no file under %s\n", flags_.path);
  // More workers than files would have nothing to do.
  if (role == Role::kBoth) {
    settings->workers =
        std::min<int>(settings->workers, static_cast<int>(std::max<size_t>(files->paths.size(), 1)));
  }

  const absl::Time start = absl::Now();
  Master master(*std::move(settings), files->paths, /*keep_texts=*/!flags_.out.empty());
  absl::Status run = master.Run();
  if (role == Role::kPublish) {
    PrintPublished(master, files->paths.size(), absl::Now() - start);
  } else {
    PrintSummary(master, absl::Now() - start);
  }
  if (run.ok() && !flags_.out.empty()) run = master.results().WriteTo(flags_.out);
  if (!run.ok()) {
    absl::FPrintF(stderr, "workers: %s\n", run.message());
    return 1;
  }
  if (master.was_stopped() && role != Role::kWork) return 128 + SIGTERM;  // its only end
  return master.results().failed() == 0 && files->skipped.empty() ? 0 : 1;
}

}  // namespace ko::demos
