#include "demos/semaphore/semaphore.h"

#include <csignal>

#include "absl/strings/str_format.h"
#include "ko/ko.h"

namespace ko::demos {

int SemaphoreDemo::Run() {
  absl::StatusOr<ko::Semaphore> created = ko::Semaphore::Create();
  if (!created.ok()) {
    absl::FPrintF(stderr, "%s\n", created.status().message());
    return 1;
  }
  ko::Semaphore& semaphore = *created;
  ko::ProcessManager manager;
  ko::Process holder = manager.Fork([&semaphore](ko::Self& self) {
    semaphore.Acquire().IgnoreError();
    self.NotifyReady();
    self.Sleep(absl::InfiniteDuration());
  });
  holder.WaitReady().IgnoreError();
  const absl::Status taken = semaphore.TryExecute([] { absl::PrintF("This is not printed\n"); });
  absl::PrintF("While it is held: %s\n", absl::StatusCodeToString(taken.code()));

  for (int i = 1; i <= 3; ++i) {
    manager.Fork(
        [i, &semaphore] { return semaphore.LockExecute([i] { absl::PrintF("Process %d is alone\n", i); }); });
  }
  holder.Kill(SIGKILL).IgnoreError();  // the kernel gives its permit to the next one at once
  const absl::Status all = manager.Wait();
  const absl::Status free = semaphore.TryExecute([] { absl::PrintF("Now it is free\n"); });
  return all.ok() && free.ok() ? 0 : 1;
}

}  // namespace ko::demos
