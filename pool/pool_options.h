#ifndef KO_POOL_POOL_OPTIONS_H_
#define KO_POOL_POOL_OPTIONS_H_

#include <cstddef>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/os/interrupt.h"

namespace ko {

struct PoolOptions {
  // 0: one for each processor that this process may run on. At most 500.
  int workers = 0;

  // How many tasks may be submitted and not yet finished; Submit waits for room beyond that. Finished ones do not count,
  // whoever has their results.
  size_t capacity = 1024;

  // The arguments of a task, and its result, packed (arguments.h), are no longer. Address space is set aside for it
  // (twice this for each task of `capacity`), memory is taken for what is really used and given back after the task.
  size_t max_message_bytes = size_t{64} << 20;

  // A worker is replaced by a new one after so many tasks; 0: never. Against code that leaks.
  size_t tasks_per_worker = 0;

  // Runs once, in the process that the workers are forked from: what it loads they all have, and share the memory of.
  // A status that is not OK is what Create returns.
  absl::AnyInvocable<absl::Status()> warm_up = nullptr;

  // Fork although this process has other threads; see ForkOptions::allow_threads, and mind that tasks run in such a child.
  bool allow_threads = false;
};

struct TaskOptions {
  // How long the task may run. The worker of one that runs longer is killed; the result is DeadlineExceeded.
  absl::Duration time_limit = absl::InfiniteDuration();

  // How often the task is started anew where its worker died (not after its time limit or Cancel). Otherwise: Aborted.
  int retries = 0;

  // How long Submit may wait for room. Zero: not at all. Beyond it the result is ResourceExhausted.
  absl::Duration room_timeout = absl::InfiniteDuration();
};

// How far a Map is.
struct MapProgress {
  size_t done = 0;
  size_t failed = 0;  // of those done
  size_t total = 0;
};

struct MapOptions {
  // For each single element; see TaskOptions. An element's time limit and its worker's death cost that element only, also
  // in a chunk.
  absl::Duration time_limit = absl::InfiniteDuration();
  int retries = 0;

  // How many elements are handed to a worker at once. 0: the pool chooses, by how long they take.
  size_t chunk = 0;

  // Ends the Map early: elements that are not done are Cancelled, those that run are ended with their workers. It does not
  // end the wait for room in a pool that others have filled.
  Interrupt interrupt = {};

  // Called in the caller's thread whenever a chunk is done: every few milliseconds where the pool chooses their size.
  absl::AnyInvocable<void(const MapProgress&)> progress = nullptr;
};

}  // namespace ko

#endif  // KO_POOL_POOL_OPTIONS_H_
