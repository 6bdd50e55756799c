#include "ko/ipc/job_participants.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/robust_list.h"
#include "ko/os/thread_id.h"

namespace ko {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;  // under the lock, which orders them

void Add(std::atomic<uint32_t>& count, uint32_t difference) {
  count.store(count.load(kRelaxed) + difference, kRelaxed);
}

JobSleep SleepOf(const JobParticipant& participant) {
  return static_cast<JobSleep>(participant.sleep.load(kRelaxed));
}

bool IsUnwoken(const JobParticipant& participant) {
  return SleepOf(participant) != JobSleep::kAwake && participant.woken.load(kRelaxed) == 0;
}

}  // namespace

uint32_t JobParticipants::end() const {
  return std::min(header_.participants_end.load(kRelaxed), segment_.geometry.participants);
}

absl::StatusOr<std::optional<uint32_t>> JobParticipants::Find() const {
  const JobParticipant* const first = segment_.participants;
  const os::RobustFutex* const held = os::FindHeldRobustFutex(first, first + segment_.geometry.participants);
  if (held == nullptr) return std::nullopt;
  if ((held->word.load(kRelaxed) & ~FUTEX_WAITERS) != static_cast<uint32_t>(os::ThreadId())) {
    return segment_.Damaged("a participant");
  }
  return static_cast<uint32_t>(reinterpret_cast<const JobParticipant*>(held) - first);
}

absl::StatusOr<uint32_t> JobParticipants::Join(std::shared_ptr<const void> memory) {
  TrimEnd();
  uint32_t slot = 0;
  // Acquire: pairs with ReleaseRobustFutex, which frees a slot without the lock.
  while (slot < segment_.geometry.participants && at(slot).life.word.load(std::memory_order_acquire) != 0)
    ++slot;
  if (slot == segment_.geometry.participants) {
    return absl::ResourceExhaustedError(absl::StrCat("the job queue has ", slot, " participants already"));
  }
  at(slot).sleep.store(0, kRelaxed);
  at(slot).woken.store(0, kRelaxed);
  header_.participants_end.store(std::max(end(), slot + 1), kRelaxed);
  if (absl::Status status = os::HoldRobustFutex(at(slot).life, std::move(memory)); !status.ok())
    return status;
  for (uint32_t i = 0; i < end(); ++i) {
    if (SleepOf(at(i)) == JobSleep::kAwake) continue;
    Add(at(i).wake_word, 1);
    os::FutexWake(at(i).wake_word, os::FutexScope::kShared, 1);
  }
  return slot;
}

// Slots are freed without the lock, so the end moves down when somebody comes.
void JobParticipants::TrimEnd() {
  uint32_t trimmed = end();
  while (trimmed > 0 && at(trimmed - 1).life.word.load(kRelaxed) == 0) --trimmed;
  header_.participants_end.store(trimmed, kRelaxed);
}

absl::Status JobParticipants::SweepDead(absl::FunctionRef<absl::Status(uint32_t)> returned) {
  bool found = false;
  for (uint32_t slot = 0; slot < end(); ++slot) {
    // Acquire: pairs with MarkDied of a thread that ended in order; the kernel orders the marks it makes
    // itself.
    if ((at(slot).life.word.load(std::memory_order_acquire) & FUTEX_OWNER_DIED) == 0) continue;
    found = true;
    if (absl::Status status = returned(slot); !status.ok()) return status;
    at(slot).sleep.store(0, kRelaxed);
    // From here on the slot is free: nothing refers to the dead one any more. Release: pairs with Join.
    at(slot).life.word.store(0, std::memory_order_release);
  }
  if (found) {
    for (uint32_t slot = 0; slot < end(); ++slot) at(slot).woken.store(0, kRelaxed);
    Rebuild();
    TrimEnd();
  }
  return absl::OkStatus();
}

void JobParticipants::Rebuild() {
  uint32_t unwoken = 0;
  for (uint32_t slot = 0; slot < end(); ++slot) unwoken += IsUnwoken(at(slot)) ? 1 : 0;
  header_.unwoken_sleepers.store(unwoken, kRelaxed);
}

uint64_t JobParticipants::NewTicket() {
  const uint64_t ticket = header_.next_ticket.load(kRelaxed);
  header_.next_ticket.store(ticket + 1, kRelaxed);
  return ticket;
}

bool JobParticipants::StartSleep(uint32_t self, JobSleep sleep, uint64_t ticket, size_t needed_bytes,
                                 os::FutexWaitList& waits) {
  JobParticipant& me = at(self);
  waits.Add(me.wake_word, me.wake_word.load(kRelaxed), os::FutexScope::kShared);
  // From the next slot on and around, so that sleepers who cannot watch all watch different ones.
  const uint32_t count = end();
  for (uint32_t i = 1; i < count && !waits.full(); ++i) {
    os::RobustFutex& life = at((self + i) % count).life;
    uint32_t word = life.word.load(kRelaxed);
    while (word != 0 && (word & (FUTEX_WAITERS | FUTEX_OWNER_DIED)) == 0) {
      if (life.word.compare_exchange_weak(word, word | FUTEX_WAITERS, kRelaxed)) word |= FUTEX_WAITERS;
    }
    if (word & FUTEX_OWNER_DIED) return false;
    if (word != 0) waits.Add(life.word, word, os::FutexScope::kShared);
  }
  me.ticket.store(ticket, kRelaxed);
  me.needed_bytes.store(needed_bytes, kRelaxed);
  me.woken.store(0, kRelaxed);
  me.sleep.store(static_cast<uint32_t>(sleep), kRelaxed);
  Add(header_.unwoken_sleepers, 1);
  return true;
}

void JobParticipants::EndSleep(uint32_t self) {
  JobParticipant& me = at(self);
  if (IsUnwoken(me)) Add(header_.unwoken_sleepers, -1);
  me.sleep.store(0, kRelaxed);
  me.woken.store(0, kRelaxed);
}

JobParticipants::WakeUps JobParticipants::NextWakeUps(const Prospects& prospects) {
  WakeUps wake_ups;
  JobParticipant* receiver = nullptr;
  JobParticipant* publisher = nullptr;
  uint32_t woken_receivers = 0;
  for (uint32_t slot = 0; slot < end(); ++slot) {
    JobParticipant& sleeper = at(slot);
    const bool receives = SleepOf(sleeper) == JobSleep::kReceiver;
    if (!IsUnwoken(sleeper)) {
      woken_receivers += receives ? 1 : 0;
      continue;
    }
    if (!receives && !prospects.all_publishers &&
        !(prospects.publishers && sleeper.needed_bytes.load(kRelaxed) <= prospects.free_bytes)) {
      continue;
    }
    JobParticipant*& first = receives ? receiver : publisher;
    if (first == nullptr || sleeper.ticket.load(kRelaxed) < first->ticket.load(kRelaxed)) first = &sleeper;
  }
  if (!prospects.all_receivers && prospects.jobs <= woken_receivers) receiver = nullptr;
  const auto wake = [&](JobParticipant* sleeper) -> const std::atomic<uint32_t>* {
    if (sleeper == nullptr) return nullptr;
    sleeper->woken.store(1, kRelaxed);
    Add(sleeper->wake_word, 1);
    Add(header_.unwoken_sleepers, -1);
    return &sleeper->wake_word;
  };
  wake_ups.receiver = wake(receiver);
  wake_ups.publisher = wake(publisher);
  return wake_ups;
}

size_t JobParticipants::Count(JobSleep sleep) const {
  size_t count = 0;
  for (uint32_t slot = 0; slot < end(); ++slot) count += SleepOf(at(slot)) == sleep ? 1 : 0;
  return count;
}

}  // namespace ko
