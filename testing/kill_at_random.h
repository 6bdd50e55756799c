#ifndef KO_TESTING_KILL_AT_RANDOM_H_
#define KO_TESTING_KILL_AT_RANDOM_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"

namespace ko::testing {

// One of the processes under load.
struct RandomVictim {
  std::string name;
  // One turn of its work; called over and over in a forked child, until that is killed. False: its work has
  // gone wrong, which fails the test.
  std::function<bool(uint64_t seed)> turn;
};

struct RandomKillOptions {
  int kills = 1000;
  // Between two kills, at most; drawn anew each time.
  absl::Duration longest_pause = absl::Milliseconds(1);
  // Of so many kills one takes several processes at once, so that those who clean up after one die as well.
  int together_every = 4;
  // Of so many kills one is of a process that has been stopped (SIGSTOP) and continued before. 0: none.
  int stop_every = 0;
  uint64_t seed = 0;  // 0: by chance. It is printed.
  // If no turn ends anywhere for so long, nothing goes on any more.
  absl::Duration limit = absl::Seconds(20);
};

struct RandomKillReport {
  uint64_t seed = 0;
  int kills = 0;
  uint64_t turns = 0;   // that have ended, of all processes
  std::string failure;  // empty where all went well
};

// Runs each victim in a process of its own, all at once, and kills them (SIGKILL) at any time; each is
// started anew. In the end all are killed, and `check` runs in the test: is every thing accounted for? After
// each kill some turn has to end within the limit. Failures are reported to gtest, non-fatal, with what each
// process was doing; then `check` does not run.
//
//   KillAtRandom({{"producer", [&](uint64_t) { return queue->Publish("job").ok(); }},
//                 {"consumer", [&](uint64_t) { return queue->Receive()->Ack().ok(); }}},
//                {.kills = 500}, [&] { EXPECT_EQ(queue->Stats()->leased, 0u); });
//
// Threads: none besides the caller may run in the test. Fork: plain fork(2). Signals: SIGKILL, SIGSTOP and
// SIGCONT to the children. Crash: the children die with the test. Errors: a machine without processes ends
// the test.
RandomKillReport KillAtRandom(const std::vector<RandomVictim>& victims, const RandomKillOptions& options,
                              absl::FunctionRef<void()> check);

}  // namespace ko::testing

#endif  // KO_TESTING_KILL_AT_RANDOM_H_
