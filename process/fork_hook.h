#ifndef KO_PROCESS_FORK_HOOK_H_
#define KO_PROCESS_FORK_HOOK_H_

#include <utility>

#include "ko/process/fork_hooks_run.h"

namespace ko {

// What code that holds threads, sockets or locks does around every Fork of this process, also around those of a
// manager: stop a thread and start it again, give a child a connection of its own. Registered as long as it
// lives.
//
//   ko::ForkHook hook({.before = [&] { flusher.Stop(); },
//                      .in_parent = [&] { flusher.Start(); },
//                      .in_child = [&] { connection.Forget(); }});
//
// `before` runs first of all, the newest hook's first, with no signal blocked: a thread that it stops does not
// count any more when Fork refuses to fork beside threads. The other two run after the fork, the oldest hook's
// first; `in_parent` also where there was no fork after all, `in_child` with all signals blocked, before
// ForkOptions::setup. Each may be empty. Exec and Daemonize call none: they copy no threads that the program
// could miss.
//
// Threads: any may register; hooks run on the forking thread, one Fork at a time. Fork: the child has the hooks,
// too, so that its own forks call them; one that was made by a plain fork(2) while another thread registered
// hooks or forked must not Fork. Signals: see above. Crash: none. Errors: a hook must not throw (that ends
// the process) nor register or remove hooks; a Fork by a hook is refused (FailedPrecondition).
class ForkHook {
 public:
  using Steps = ForkHookSteps;

  explicit ForkHook(Steps steps) : steps_(std::move(steps)) { RegisterForkHook(&steps_); }
  ForkHook(const ForkHook&) = delete;
  ForkHook& operator=(const ForkHook&) = delete;
  ~ForkHook() { UnregisterForkHook(&steps_); }

 private:
  Steps steps_;
};

}  // namespace ko

#endif  // KO_PROCESS_FORK_HOOK_H_
