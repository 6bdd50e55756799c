// A program that a manager's tests run as a command: it speaks the protocol of sd_notify(3), and how is its argument.

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string_view>

#include "absl/time/clock.h"
#include "ko/process/service_notifier.h"

namespace {

// Until a SIGTERM.
int Serve(ko::ServiceNotifier& service) {
  sigset_t terms;
  ::sigemptyset(&terms);
  ::sigaddset(&terms, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &terms, nullptr);
  service.Ready().IgnoreError();
  int signo = 0;
  ::sigwait(&terms, &signo);
  service.Stopping().IgnoreError();
  return 0;
}

[[noreturn]] void Hang() {
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view how = argc == 2 ? argv[1] : "";
  absl::StatusOr<ko::ServiceNotifier> service = ko::ServiceNotifier::FromEnvironment();
  if (!service.ok()) return 2;
  if (how == "unasked") return service->IsActive() ? 1 : 0;
  if (!service->IsActive()) return 3;
  if (how == "serve") return Serve(*service);
  if (how == "hang") Hang();
  if (how == "hang when ready") {
    service->Ready().IgnoreError();
    Hang();
  }
  if (how == "beat") {
    if (!service->watchdog_interval().has_value()) return 4;
    service->Ready().IgnoreError();
    for (int i = 0; i < 50; ++i) {
      service->Watchdog().IgnoreError();
      absl::SleepFor(*service->watchdog_interval() / 20);
    }
    return 7;
  }
  if (how == "trigger") {
    service->Send("WATCHDOG=trigger").IgnoreError();
    Hang();
  }
  if (how == "stranger") {
    // One that has left for a session of its own has no say.
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setsid();
      service->Ready().IgnoreError();
      ::_exit(0);
    }
    ::waitpid(pid, nullptr, 0);
    return 5;
  }
  return 6;
}
