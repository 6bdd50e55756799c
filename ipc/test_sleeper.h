#ifndef KO_IPC_TEST_SLEEPER_H_
#define KO_IPC_TEST_SLEEPER_H_

#include <sched.h>

#include <atomic>
#include <new>

#include "ko/ipc/test_child.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/process_state.h"

namespace ko {

// For tests of single instructions: a child beside the operation. It begins when the operation lets it, by AwaitAsleep: does
// what `prepare` does, falls asleep in `sleep`, and exits with 0 where both return true.
class TestSleeper {
 public:
  template <class Prepare, class Sleep>
  TestSleeper(Prepare prepare, Sleep sleep)
      : child_([&] {
          while (!flags_->may_go) ::sched_yield();
          if (!prepare()) return 1;
          flags_->goes = true;
          return sleep() ? 0 : 1;
        }) {}
  template <class Sleep>
  explicit TestSleeper(Sleep sleep) : TestSleeper([] { return true; }, sleep) {}

  void AwaitAsleep() {
    flags_->may_go = true;
    while (!flags_->goes) ::sched_yield();
    testing::AwaitState(child_.pid(), 'S');
  }
  void Kill() { child_.Kill(); }
  void AwaitEnded() { testing::AwaitEnded(child_.pid()); }

 private:
  // When it may begin, and that it is about to fall asleep.
  struct Flags {
    std::atomic<bool> may_go, goes;
  };
  os::SharedMapping memory_ = *os::SharedMapping::Create(sizeof(Flags));
  Flags* const flags_ = new (memory_.data()) Flags();
  TestChild child_;
};

}  // namespace ko

#endif  // KO_IPC_TEST_SLEEPER_H_
