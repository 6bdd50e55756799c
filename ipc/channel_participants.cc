#include "ko/ipc/channel_participants.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/robust_list.h"
#include "ko/os/robust_lock.h"
#include "ko/os/thread_id.h"

namespace ko {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

bool NamesNobody(uint32_t life) { return (life & FUTEX_TID_MASK) == 0; }

}  // namespace

absl::StatusOr<uint32_t> ChannelParticipants::Join(std::shared_ptr<const void> memory) const {
  const ChannelParticipant* const first = segment_.participants;
  const os::RobustFutex* const held = os::FindHeldRobustFutex(first, first + segment_.geometry.participants);
  if (held != nullptr) {
    if ((held->word.load(kRelaxed) & ~FUTEX_WAITERS) != static_cast<uint32_t>(os::ThreadId())) {
      return absl::DataLossError("the channel's shared memory has been overwritten: a participant");
    }
    return static_cast<uint32_t>(reinterpret_cast<const ChannelParticipant*>(held) - first);
  }
  // A death under the lock leaves nothing half done: a slot is either its new owner's or still free.
  const absl::StatusOr<os::RobustLockState> state = os::AcquireRobustLock(segment_.header->join_lock);
  if (!state.ok()) return state.status();
  // Kept, because the thread enters another word into its list.
  if (absl::Status status = os::KeepRobustLock(segment_.header->join_lock); !status.ok()) {
    os::ReleaseRobustLock(segment_.header->join_lock);
    return status;
  }
  absl::StatusOr<uint32_t> slot = JoinLocked(std::move(memory));
  os::ReleaseKeptRobustLock(segment_.header->join_lock);
  return slot;
}

absl::StatusOr<uint32_t> ChannelParticipants::JoinLocked(std::shared_ptr<const void> memory) const {
  for (uint32_t slot = 0; slot < segment_.geometry.participants; ++slot) {
    ChannelParticipant& free = segment_.participants[slot];
    // Acquire: pairs with MarkDied and ReleaseRobustFutex; the kernel orders the marks that it makes itself.
    const uint32_t word = free.life.word.load(std::memory_order_acquire);
    const uint32_t for_senders = free.life_for_senders.word.load(std::memory_order_acquire);
    if (!NamesNobody(word) || !NamesNobody(for_senders)) continue;
    if (word != 0 || for_senders != 0) FreeCellOf(slot);
    absl::Status status = os::HoldRobustFutex(free.life, std::move(memory), &free.life_for_senders);
    if (!status.ok()) return status;
    return slot;
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("the channel has ", segment_.geometry.participants, " participants already"));
}

void ChannelParticipants::Leave() const {
  const ChannelParticipant* const first = segment_.participants;
  os::RobustFutex* const held = os::FindHeldRobustFutex(first, first + segment_.geometry.participants);
  if (held != nullptr) os::ReleaseRobustFutex(*held);
}

// The cell must not seem to be the newcomer's. One that was being filled stays in its turn, for nobody: the order of turns
// tells what has been received, so only who receives in order may end one. Release: pairs with the acquire loads of state
// words.
void ChannelParticipants::FreeCellOf(uint32_t dead) const {
  ChannelCell& cell = segment_.At(segment_.participants[dead].position.load(kRelaxed));
  uint64_t word = cell.state.load(std::memory_order_acquire);
  if (CellOwnerOf(word) != dead) return;
  const uint64_t turn = CellTurnOf(word);
  switch (CellStateOf(word)) {
    case CellState::kWriting:
      cell.state.compare_exchange_strong(word, PackCell(CellState::kWriting, turn, kNobody),
                                         std::memory_order_acq_rel);
      break;
    case CellState::kReading:
      cell.state.compare_exchange_strong(word, PackCell(CellState::kEmpty, turn + 1),
                                         std::memory_order_acq_rel);
      break;
    default:
      break;
  }
}

bool ChannelParticipants::IsDead(uint32_t owner) const {
  // Acquire: as in JoinLocked.
  if (owner == kNobody) return true;
  const ChannelParticipant& participant = segment_.participants[owner];
  return NamesNobody(participant.life.word.load(std::memory_order_acquire)) ||
         NamesNobody(participant.life_for_senders.word.load(std::memory_order_acquire));
}

bool ChannelParticipants::Watch(uint32_t owner, bool for_senders, os::FutexWaitList& waits) const {
  if (owner == kNobody) return false;
  ChannelParticipant& participant = segment_.participants[owner];
  std::atomic<uint32_t>& life = (for_senders ? participant.life_for_senders : participant.life).word;
  uint32_t word = life.load(kRelaxed);
  while (!NamesNobody(word)) {
    if ((word & FUTEX_WAITERS) != 0 || life.compare_exchange_weak(word, word | FUTEX_WAITERS, kRelaxed)) {
      waits.Add(life, word | FUTEX_WAITERS, os::FutexScope::kShared);
      return true;
    }
  }
  return false;
}

}  // namespace ko
