#ifndef KO_MANAGER_TEST_POLICIES_H_
#define KO_MANAGER_TEST_POLICIES_H_

#include "absl/time/time.h"
#include "ko/manager/process_options.h"
#include "ko/manager/restart_policy.h"

// What the tests of this folder ask of processes that are to be there always.

namespace ko {

inline const ProcessOptions kTellsReady = {.ready = ReadyWhen::kNotified};

// At the first end, without a delay; from the second on the delay grows.
inline RestartPolicy AtOnce() {
  return {.when = RestartPolicy::When::kAlways,
          .initial_delay = absl::ZeroDuration(),
          .max_restarts = RestartPolicy::kUnlimited};
}

}  // namespace ko

#endif  // KO_MANAGER_TEST_POLICIES_H_
