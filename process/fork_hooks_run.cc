#include "ko/process/fork_hooks_run.h"

#include <vector>

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

thread_local bool running = false;

void Run(absl::AnyInvocable<void()>& step) noexcept {
  if (step != nullptr) step();
}

}  // namespace

void RegisterForkHook(ForkHookSteps* steps) {
  Hooks& hooks = Hooks::Get();
  const std::lock_guard<std::mutex> lock(hooks.mutex);
  hooks.oldest_first.push_back(steps);
}

void UnregisterForkHook(ForkHookSteps* steps) {
  Hooks& hooks = Hooks::Get();
  const std::lock_guard<std::mutex> lock(hooks.mutex);
  std::erase(hooks.oldest_first, steps);
}

bool ForkHooksRun::IsRunningOnThisThread() { return running; }

ForkHooksRun::ForkHooksRun() : lock_(Hooks::Get().mutex) {
  running = true;
  const std::vector<ForkHookSteps*>& hooks = Hooks::Get().oldest_first;
  for (auto hook = hooks.rbegin(); hook != hooks.rend(); ++hook) Run((*hook)->before);
}

ForkHooksRun::~ForkHooksRun() {
  for (ForkHookSteps* hook : Hooks::Get().oldest_first) Run(hook->in_parent);
  running = false;
}

void ForkHooksRun::FinishInChild() {
  for (ForkHookSteps* hook : Hooks::Get().oldest_first) Run(hook->in_child);
  running = false;
  lock_.unlock();
}

}  // namespace ko
