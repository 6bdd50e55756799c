#include "demos/daemon/daemon.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "ko/ko.h"

namespace ko::demos {

void Daemon::AddFlags(FlagSet& flags) {
  flags.Add("log_file", &log_file_, "what the daemon prints goes here");
  flags.Add("pid_file", &pid_file_, "holds its pid, and is locked against a second instance");
}

int Daemon::Run() {
  ko::ProcessManager manager;
  manager.OnShutdown([] { absl::PrintF("The daemon is leaving\n"); });

  absl::StatusOr<ko::DaemonLaunch> launch = manager.Daemonize({.log_file = log_file_, .pid_file = pid_file_});
  if (!launch.ok()) {
    absl::FPrintF(stderr, "daemon: %s\n", launch.status().message());
    return 1;
  }
  manager.SetProcessTitle("I am a daemon!").IgnoreError();
  absl::PrintF("The daemon runs with pid %d\n", ::getpid());
  std::fflush(stdout);
  launch->Ready().IgnoreError();

  while (!manager.IsShuttingDown()) {
    manager.Dispatch(absl::Seconds(1)).IgnoreError();
  }
  return 0;
}

}  // namespace ko::demos
