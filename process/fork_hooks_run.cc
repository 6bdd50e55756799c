#include "ko/process/fork_hooks_run.h"

#include <atomic>
#include <vector>

#include "ko/os/child_code.h"
#include "ko/os/fork_handlers.h"

namespace ko {
namespace {

// Never destroyed: a static object's destructor may still fork, or own a hook.
struct Hooks {
  static Hooks& Get() {
    static auto* const hooks = new Hooks;
    return *hooks;
  }

  std::mutex mutex;
  std::vector<ForkHookSteps*> oldest_first;
};

constinit std::atomic<bool> ever_registered = false;
thread_local bool running = false;

// For forks that find no hook, while another thread registers the first. Hooks run under this lock, and may do anything but
// fork.
void KeepLockFromChildren() {
  os::RegisterForkHandlers({[] {
                              if (!running) Hooks::Get().mutex.lock();
                            },
                            [] {
                              if (!running) Hooks::Get().mutex.unlock();
                            },
                            [](const os::ForkedFrom&) {
                              if (!running) Hooks::Get().mutex.unlock();
                            },
                            /*only_locks=*/true},
                           os::ForkOrder::kOuter);
}

void Run(absl::AnyInvocable<void()>& step) noexcept {
  if (step != nullptr) step();
}

}  // namespace

void RegisterForkHook(ForkHookSteps* steps) {
  Hooks& hooks = Hooks::Get();
  if (!ever_registered.exchange(true, std::memory_order_acq_rel)) KeepLockFromChildren();
  const std::lock_guard<std::mutex> lock(hooks.mutex);
  hooks.oldest_first.push_back(steps);
}

void UnregisterForkHook(ForkHookSteps* steps) {
  Hooks& hooks = Hooks::Get();
  const std::lock_guard<std::mutex> lock(hooks.mutex);
  std::erase(hooks.oldest_first, steps);
}

bool ForkHooksRun::IsRunningOnThisThread() { return running; }

ForkHooksRun::ForkHooksRun() {
  // Acquire: pairs with RegisterForkHook. A hook that another thread registers at this moment may be missed.
  if (!ever_registered.load(std::memory_order_acquire)) return;
  lock_ = std::unique_lock(Hooks::Get().mutex);
  running = true;
  const std::vector<ForkHookSteps*>& hooks = Hooks::Get().oldest_first;
  for (auto hook = hooks.rbegin(); hook != hooks.rend(); ++hook) Run((*hook)->before);
}

ForkHooksRun::~ForkHooksRun() {
  if (!lock_.owns_lock()) return;
  for (ForkHookSteps* hook : Hooks::Get().oldest_first) Run(hook->in_parent);
  running = false;
}

KO_CHILD_CODE void ForkHooksRun::FinishInChild() {
  if (!lock_.owns_lock()) return;
  for (ForkHookSteps* hook : Hooks::Get().oldest_first) Run(hook->in_child);
  running = false;
  lock_.unlock();
}

}  // namespace ko
