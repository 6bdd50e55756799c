#ifndef KO_PROCESS_FORK_HOOKS_RUN_H_
#define KO_PROCESS_FORK_HOOKS_RUN_H_

#include <mutex>

#include "absl/functional/any_invocable.h"

namespace ko {

// What a ForkHook does, see fork_hook.h.
struct ForkHookSteps {
  absl::AnyInvocable<void()> before = nullptr;
  absl::AnyInvocable<void()> in_parent = nullptr;
  absl::AnyInvocable<void()> in_child = nullptr;
};

// By their address, until they are unregistered.
void RegisterForkHook(ForkHookSteps* steps);
void UnregisterForkHook(ForkHookSteps* steps);

// The hooks of one fork: `before` is run by the constructor, `in_parent` by the destructor, in the parent, whether
// it forked or not. The hooks are locked meanwhile, so that the child's copy of the lock is this thread's to open. Where
// there are none nothing is done and nothing written to, which the child or its parent would have to copy.
class ForkHooksRun {
 public:
  ForkHooksRun();
  ForkHooksRun(const ForkHooksRun&) = delete;
  ForkHooksRun& operator=(const ForkHooksRun&) = delete;
  ~ForkHooksRun();

  // In the child, which does not get to the destructor.
  void FinishInChild();

  static bool IsRunningOnThisThread();

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace ko

#endif  // KO_PROCESS_FORK_HOOKS_RUN_H_
