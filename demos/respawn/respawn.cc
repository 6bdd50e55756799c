#include "demos/respawn/respawn.h"

#include <vector>

#include "absl/strings/str_format.h"
#include "ko/ko.h"

namespace ko::demos {

void Respawn::AddFlags(FlagSet& flags) {
  flags.Add("life", &life_, "how long each process lives before it exits with 1");
  flags.Add("run_for", &run_for_, "how long the demo goes on; inf: until Ctrl-C");
}

int Respawn::Run() {
  ko::ProcessManager manager;
  std::vector<ko::Process> processes;
  for (int i = 0; i < 10; ++i) {
    processes.push_back(manager.Spawn([this](ko::Self& self) {
      absl::PrintF("Process %d, attempt %d\n", self.pid(), self.attempt());
      const bool slept_well = self.Sleep(life_);
      return slept_well ? 1 : 0;  // 0 when it was asked to leave
    }));
  }
  if (absl::Status ended = manager.Wait(run_for_); absl::IsDeadlineExceeded(ended)) {
    manager.Shutdown().IgnoreError();
  }
  int restarts = 0;
  for (const ko::Process& process : processes) restarts += process.restarts();
  absl::PrintF("Ten processes were restarted %d times\n", restarts);
  return 0;
}

}  // namespace ko::demos
