#include "demos/wait_all/wait_all.h"

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "ko/ko.h"

namespace ko::demos {

int WaitAll::Run() {
  ko::ProcessManager manager;
  for (int i = 1; i <= 10; ++i) {
    manager
        .Fork([i](ko::Self& self) {
          self.Sleep(absl::Milliseconds(10 * i));
          absl::PrintF("Process %d: my pid is %d\n", i, self.pid());
        })
        .OnSuccess([i] { absl::PrintF("Process %d has ended well\n", i); });
  }
  const absl::Status all = manager.Wait();
  absl::PrintF("All have ended\n");
  return all.ok() ? 0 : 1;
}

}  // namespace ko::demos
