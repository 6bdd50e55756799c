#include "demos/shared_memory/shared_memory.h"

#include <string>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ko/ko.h"

namespace ko::demos {

int SharedMemoryDemo::Run() {
  absl::StatusOr<ko::SharedMemory> created = ko::SharedMemory::Create();
  if (!created.ok()) {
    absl::FPrintF(stderr, "%s\n", created.status().message());
    return 1;
  }
  ko::SharedMemory& memory = *created;
  ko::ProcessManager manager;
  memory["greeting"] = "hello";
  memory["n"] = 1;
  ko::Process process = manager.Fork([&memory](ko::Self& self) {
    absl::PrintF("Process %d finds %d keys\n", self.pid(), memory.size());
    memory["n"] += 41;                       // in one step, whoever else adds
    memory["from"] = self.pid();             // any process may add keys
    memory.Erase("greeting").IgnoreError();  // and take them away
    self["result"] = 6.28;                   // between this process and its parent only
  });
  const absl::StatusOr<ko::ExitStatus> status = process.Wait();
  const int n = memory["n"];
  absl::PrintF("%d keys: %s\n", memory.size(), absl::StrJoin(memory.Keys(), ", "));
  absl::PrintF("n is %d, the greeting is %s\n", n, memory["greeting"].exists() ? "there" : "gone");
  absl::PrintF("the process was %d, its result is %.2f\n", int{memory["from"]}, double{process["result"]});
  return status.ok() && status->ok() ? 0 : 1;
}

}  // namespace ko::demos
