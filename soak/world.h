#ifndef KO_SOAK_WORLD_H_
#define KO_SOAK_WORLD_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "ko/ipc/channel.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/semaphore.h"
#include "ko/ipc/shared_memory.h"
#include "ko/os/shared_mapping.h"

namespace ko::soak {

inline constexpr uint64_t kMaxItems = uint64_t{1} << 28;  // jobs, and messages, that a run may have
inline constexpr int kCounters = 16;

// What everybody writes down: each line before or after the operation that it is about, so that what a kill leaves open is
// at most one operation.
struct Ledger {
  std::atomic<uint64_t> jobs_published;
  std::atomic<uint64_t> jobs_acknowledged;
  std::atomic<uint64_t> messages_begun;  // numbers taken; each is sent once at most
  std::atomic<uint64_t> messages_sent;   // by a Send that returned
  std::atomic<uint64_t> increments_begun, increments_done;
  std::atomic<uint64_t> sections;     // that were held
  std::atomic<pid_t> section_holder;  // 0 where nobody says so
  std::atomic<uint64_t> tasks_resolved, tasks_of_killed_workers;
  std::atomic<uint64_t> pool_kills;
  std::atomic<uint64_t> violations;
  char first_violation[256];
};

// What the processes of a run share. Made before the first of them.
class World {
 public:
  static absl::StatusOr<std::unique_ptr<World>> Create();

  // Notes that a promise was broken.
  void Violation(const std::string& what);

  // Said of a process before it is killed, and taken back by the next one with its number.
  void MarkKilled(pid_t pid, bool killed) { At(killed_, static_cast<uint64_t>(pid)) = killed ? 1 : 0; }
  bool IsMarkedKilled(pid_t pid) { return At(killed_, static_cast<uint64_t>(pid)) != 0; }

  // How often each job was done, and each message received.
  std::atomic<uint8_t>& done(uint64_t job) { return At(jobs_done_, job); }
  std::atomic<uint8_t>& received(uint64_t message) { return At(messages_received_, message); }
  Ledger& ledger() { return *static_cast<Ledger*>(ledger_.data()); }

  SharedMemory memory;
  Semaphore semaphore;
  Channel<uint64_t> channel;
  std::unique_ptr<SharedJobQueue> queue;

 private:
  World(SharedMemory memory, Semaphore semaphore, Channel<uint64_t> channel,
        std::unique_ptr<SharedJobQueue> queue)
      : memory(std::move(memory)),
        semaphore(std::move(semaphore)),
        channel(std::move(channel)),
        queue(std::move(queue)) {}
  static std::atomic<uint8_t>& At(const os::SharedMapping& bytes, uint64_t index) {
    return static_cast<std::atomic<uint8_t>*>(bytes.data())[index % kMaxItems];
  }

  os::SharedMapping ledger_, jobs_done_, messages_received_, killed_;
};

}  // namespace ko::soak

#endif  // KO_SOAK_WORLD_H_
