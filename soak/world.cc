#include "ko/soak/world.h"

#include <cstdio>
#include <utility>

namespace ko::soak {

absl::StatusOr<std::unique_ptr<World>> World::Create() {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create();
  if (!memory.ok()) return memory.status();
  absl::StatusOr<Semaphore> semaphore = Semaphore::Create();
  if (!semaphore.ok()) return semaphore.status();
  absl::StatusOr<Channel<uint64_t>> channel = Channel<uint64_t>::Create();
  if (!channel.ok()) return channel.status();
  absl::StatusOr<std::unique_ptr<SharedJobQueue>> queue = SharedJobQueue::Create();
  if (!queue.ok()) return queue.status();
  std::unique_ptr<World> world(
      new World(*std::move(memory), *std::move(semaphore), *std::move(channel), *std::move(queue)));
  for (auto [mapping, bytes] :
       {std::pair(&world->ledger_, sizeof(Ledger)), std::pair(&world->jobs_done_, kMaxItems),
        std::pair(&world->messages_received_, kMaxItems), std::pair(&world->killed_, kMaxItems)}) {
    absl::StatusOr<os::SharedMapping> made = os::SharedMapping::CreateSparse(bytes);
    if (!made.ok()) return made.status();
    *mapping = *std::move(made);
  }
  return world;
}

void World::Violation(const std::string& what) {
  if (ledger().violations.fetch_add(1) == 0) {
    std::snprintf(ledger().first_violation, sizeof(Ledger::first_violation), "%s", what.c_str());
  }
}

}  // namespace ko::soak
