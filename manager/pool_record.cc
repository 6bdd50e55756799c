#include "ko/manager/pool_record.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/manager/supervisor.h"

namespace ko {

void PoolRecord::Resize(Supervisor& keeper, int size) {
  while (static_cast<int>(workers.size()) > size) {
    const std::shared_ptr<ProcessRecord> last = std::move(workers.back());
    workers.pop_back();
    keeper.Dismiss(last);
  }
  for (int slot = 0; slot < size; ++slot) {
    const bool is_new = slot == static_cast<int>(workers.size());
    if (!is_new && workers[slot]->state != ProcessRecord::State::kEnded) continue;
    if (!is_new) keeper.Dismiss(workers[slot]);
    ProcessSpec each = spec;
    each.slot = slot;
    each.options.name = absl::StrCat(spec.options.name, " ", slot);
    std::shared_ptr<ProcessRecord> worker = keeper.Start(std::move(each), group.get());
    if (is_new) {
      workers.push_back(std::move(worker));
    } else {
      workers[slot] = std::move(worker);
    }
  }
}

void PoolRecord::BeginRollOut(RollOutOptions options) {
  rolling.emplace();
  rolling->slots = static_cast<int>(workers.size());
  roll_options = options;
  next_slot = 0;
  RollNext();
}

void PoolRecord::RollNext() {
  const std::shared_ptr<Supervisor> keeper = supervisor.lock();
  if (keeper == nullptr || !rolling.has_value()) return;
  // One that does not run has nothing that could go on meanwhile: its next start is a new one by itself.
  const auto runs = [&](int slot) {
    const Attempt* const current = workers[slot]->current();
    return current != nullptr && !current->stop.active() && !workers[slot]->finishing;
  };
  // Slots that a Resize has added meanwhile are new.
  const int slots = std::min(rolling->slots, static_cast<int>(workers.size()));
  while (next_slot < slots && !runs(next_slot)) ++next_slot;
  if (next_slot >= slots) return EndRollOut(absl::OkStatus());
  const int slot = next_slot++;
  const std::shared_ptr<ProcessRecord> worker = workers[slot];
  const auto is_resized_away = [this, slot, worker = worker.get()] {
    return slot >= static_cast<int>(workers.size()) || workers[slot].get() != worker;
  };
  keeper->Replace(worker, roll_options.observe, "replaced by a rolling restart",
                  [pool = shared_from_this(), is_resized_away](const absl::Status& replaced) {
                    if (!replaced.ok() && !is_resized_away()) return pool->EndRollOut(replaced);
                    if (replaced.ok()) ++pool->rolling->replaced;
                    pool->RollNext();
                  });
}

void PoolRecord::EndRollOut(absl::Status status) {
  last = *std::exchange(rolling, std::nullopt);
  last.status = std::move(status);
  ++outcomes;
  const std::shared_ptr<Supervisor> keeper = supervisor.lock();
  if (keeper == nullptr) return;
  keeper->TellGroup(*group, ProcessEvent::Kind::kRollOutEnded, absl::ZeroDuration(),
                    std::string(last.status.message()));
  for (const auto& handler : handlers) {
    keeper->Call([handler, outcome = last] { (*handler)(outcome); });
  }
}

}  // namespace ko
