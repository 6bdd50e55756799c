#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/signals/signal_dispatcher.h"
#include "ko/testing/fault_sweep.h"
#include "ko/testing/leaks.h"

// Each system call of what the module does fails in turn with each errno: the operation says so or does its work all the
// same, leaves nothing, no signal handler either, and can be done again.

namespace ko {
namespace {

using testing::FaultRound;
using testing::SweepFaults;

class SignalFaultsTest : public testing::LeakCheckedTest {};

TEST_F(SignalFaultsTest, SignalsAreHandled) {
  const auto count = SweepFaults("SignalDispatcher::Create, On, Dispatch, Off", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      absl::StatusOr<SignalDispatcher> signals = SignalDispatcher::Create();
      if (!signals.ok()) return signals.status();
      int handled = 0;
      absl::Status on = signals->On(SIGUSR1, [&](const SignalInfo&) { ++handled; });
      if (!on.ok()) return on;
      ::raise(SIGUSR1);
      if (absl::StatusOr<int> told = signals->Dispatch(); !told.ok()) return told.status();
      EXPECT_EQ(handled, 1);
      return signals->Off(SIGUSR1);
    });
  });
  EXPECT_GT(count.injected, 3);
}

TEST_F(SignalFaultsTest, SignalsAreWaitedFor) {
  const auto count = SweepFaults("SignalDispatcher::Wait", [](FaultRound& round) {
    absl::StatusOr<SignalDispatcher> signals = SignalDispatcher::Create();
    ASSERT_TRUE(signals.ok());
    round.Try([&]() -> absl::Status { return signals->Wait(absl::Milliseconds(1)).status(); });
  });
  EXPECT_GT(count.injected, 1);
}

}  // namespace
}  // namespace ko
