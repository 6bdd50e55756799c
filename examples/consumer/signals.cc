// Takes a signal as an ordinary event.
#include <csignal>
#include <iostream>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/signals/signal_dispatcher.h"

int main() {
  absl::StatusOr<ko::SignalDispatcher> signals = ko::SignalDispatcher::Create();
  if (!signals.ok()) {
    std::cerr << signals.status() << "\n";
    return 1;
  }
  int taken = 0;
  const absl::Status on = signals->On(SIGUSR1, [&taken](const ko::SignalInfo&) { ++taken; });
  if (!on.ok()) {
    std::cerr << on << "\n";
    return 1;
  }
  raise(SIGUSR1);
  const absl::StatusOr<int> handled = signals->Wait(absl::InfiniteDuration());
  if (!handled.ok() || taken != 1) {
    std::cerr << "the signal was not taken\n";
    return 1;
  }
  std::cout << "one signal taken\n";
}
