#ifndef KO_SOAK_CHAOS_H_
#define KO_SOAK_CHAOS_H_

#include <cstdint>
#include <vector>

#include "absl/random/random.h"
#include "absl/time/time.h"
#include "ko/manager/process.h"
#include "ko/manager/worker_pool.h"
#include "ko/soak/world.h"

namespace ko::soak {

// Kills, stops, continues and signals processes at random. In the manager's process, between its rounds.
class Chaos {
 public:
  struct Counts {
    uint64_t kills = 0, stops = 0, terms = 0, resizes = 0, roll_outs = 0;
  };

  Chaos(World& world, std::vector<Process> victims, WorkerPool pool)
      : world_(world), victims_(std::move(victims)), pool_(std::move(pool)) {}

  // One bad thing, and the end of stops whose time is over.
  void Strike(absl::Time now);
  // Nobody is left stopped.
  void End();
  const Counts& counts() const { return counts_; }

 private:
  struct Stopped {
    Process process;
    absl::Time until;
  };
  Process Victim();
  void ContinueUntil(absl::Time now);

  World& world_;
  std::vector<Process> victims_;
  WorkerPool pool_;
  std::vector<Stopped> stopped_;
  absl::BitGen random_;
  Counts counts_;
};

}  // namespace ko::soak

#endif  // KO_SOAK_CHAOS_H_
