#include "demos/hello/hello.h"

#include "absl/strings/str_format.h"
#include "ko/ko.h"

namespace ko::demos {

int Hello::Run() {
  ko::ProcessManager manager;
  absl::StatusOr<ko::ExitStatus> status =
      manager.Fork([](ko::Self& self) { absl::PrintF("Hello from %d\n", self.pid()); })
          .OnSuccess([] { absl::PrintF("Success finish!\n"); })
          .Wait();
  return status.ok() && status->ok() ? 0 : 1;
}

}  // namespace ko::demos
