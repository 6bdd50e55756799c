#include "demos/fork_server/fork_server.h"

#include <cstddef>
#include <cstdio>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ko/ko.h"

namespace ko::demos {
namespace {

// What each worker does: it answers by its exit code.
int Square(int number) { return number * number % 251; }

// Makes the workers one after the other; how long one takes, from the call to its status.
absl::StatusOr<absl::Duration> TimeWorkers(int workers, absl::FunctionRef<absl::StatusOr<Child>(int)> fork) {
  const absl::Time begin = absl::Now();
  for (int i = 0; i < workers; ++i) {
    absl::StatusOr<Child> child = fork(i % 1000);
    if (!child.ok()) return child.status();
    absl::StatusOr<ExitStatus> status = child->Wait();
    if (!status.ok()) return status.status();
    if (*status != ExitStatus::Exited(Square(i % 1000))) {
      return absl::InternalError(absl::StrFormat("worker %d: %s", i, status->ToString()));
    }
  }
  return (absl::Now() - begin) / workers;
}

}  // namespace

void ForkServerDemo::AddFlags(FlagSet& flags) {
  flags.Add("memory_mb", &memory_mb_, "how much memory the program fills first, in MiB");
  flags.Add("workers", &workers_, "how many workers it forks either way");
}

int ForkServerDemo::Run() {
  if (memory_mb_ < 0 || workers_ < 1) {
    absl::FPrintF(stderr, "fork_server: --memory_mb is to be 0 or more, --workers 1 or more\n");
    return 2;
  }
  const auto fail = [](const absl::Status& status) {
    absl::FPrintF(stderr, "fork_server: %s\n", status.ToString());
    return 1;
  };
  // Early, while the program is small.
  absl::StatusOr<ForkServer> server = ForkServer::Start();
  if (!server.ok()) return fail(server.status());

  absl::PrintF("Filling %d MiB of memory\n", memory_mb_);
  const std::vector<char> memory(static_cast<size_t>(memory_mb_) << 20, 'x');

  absl::StatusOr<absl::Duration> plain =
      TimeWorkers(workers_, [](int i) { return Fork([i] { return Square(i); }); });
  if (!plain.ok()) return fail(plain.status());
  absl::PrintF("Fork:       %d workers, %.0f us each\n", workers_, absl::ToDoubleMicroseconds(*plain));

  absl::StatusOr<absl::Duration> served =
      TimeWorkers(workers_, [&server](int i) { return server->Fork<&Square>(i); });
  if (!served.ok()) return fail(served.status());
  absl::PrintF("ForkServer: %d workers, %.0f us each\n", workers_, absl::ToDoubleMicroseconds(*served));
  absl::PrintF("The fork server was %.1f times as fast\n", absl::FDivDuration(*plain, *served));
  return 0;
}

}  // namespace ko::demos
