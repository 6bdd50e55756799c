#include "ko/manager/spare_turn.h"

#include <linux/futex.h>
#include <unistd.h>

#include <optional>

#include "absl/time/time.h"
#include "ko/os/child_code.h"
#include "ko/os/deadline.h"
#include "ko/os/futex.h"
#include "ko/os/process_stat.h"
#include "ko/os/robust_list.h"

namespace ko {
namespace {

// Other threads of a process on its way out follow the first one as soon as they are scheduled.
constexpr absl::Duration kFirstPause = absl::Microseconds(50), kLastPause = absl::Seconds(1);

// What the robust list tells of: perhaps an exec, perhaps the end of the first thread alone.
enum class Ending { kNo, kOfFirstThread, kOfAll };

Ending ReadEnding(pid_t pid) {
  const std::optional<os::ProcessStat> stat = os::ReadProcessStat(pid);
  if (!stat.has_value() || !stat->exiting) return Ending::kNo;
  return stat->threads == 1 ? Ending::kOfAll : Ending::kOfFirstThread;
}

// Whether ReadEnding can tell. What an end will need is touched while nobody waits for it: a new process pays for the first
// touch of each page.
bool MakeReady() {
  ReadEnding(::getpid());
  return os::ProcIsOurs();
}

// The word as it is to be slept on: the kernel wakes nobody where nobody has said that he sleeps.
uint32_t AskToBeWoken(std::atomic<uint32_t>& life) {
  uint32_t word = life.load(std::memory_order_acquire);
  while (word != 0 && (word & (FUTEX_WAITERS | FUTEX_OWNER_DIED)) == 0 &&
         !life.compare_exchange_weak(word, word | FUTEX_WAITERS, std::memory_order_acquire)) {
  }
  return word != 0 && (word & FUTEX_OWNER_DIED) == 0 ? word | FUTEX_WAITERS : word;
}

}  // namespace

bool SpareTurn::TakeLeaveBack() {
  uint32_t word = word_.load(std::memory_order_relaxed);
  // Acquire: pairs with the spare's release in AwaitTurn where that was first.
  if ((word & kSpareHasLeave) != 0 && word_.compare_exchange_strong(word, 0, std::memory_order_acquire))
    return false;
  return word != 0;
}

void SpareTurn::Begin(int attempt) {
  // Release: pairs with the load in AwaitTurn.
  word_.store(static_cast<uint32_t>(attempt), std::memory_order_release);
  os::FutexWake(word_, os::FutexScope::kShared, 1);
}

absl::Status TellSpareOfTheEnd(const ControlSlotRef& own) {
  os::RobustFutex& life = own->life;
  if (absl::Status held = os::HoldRobustFutex(life, own.page()); !held.ok()) return held;
  // A spare that was here first sleeps on the word as it was.
  os::FutexWake(life.word, os::FutexScope::kShared, 1);
  return absl::OkStatus();
}

KO_CHILD_CODE int AwaitTurn(ControlSlot& own, ControlSlot* followed, pid_t followed_pid) {
  if (followed != nullptr && !MakeReady()) followed = nullptr;
  absl::Duration pause = kFirstPause;
  for (;;) {
    uint32_t turn = own.turn.load(std::memory_order_acquire);  // pairs with SpareTurn::Begin
    const uint32_t attempt = turn & ~kSpareHasLeave;
    if (turn != 0 && turn == attempt) return static_cast<int>(attempt);
    os::FutexWaitList words;
    words.Add(own.turn, turn, os::FutexScope::kShared);
    absl::Duration sleep = absl::InfiniteDuration();
    if (followed != nullptr && turn != 0) {
      const uint32_t life = AskToBeWoken(followed->life.word);
      if ((life & FUTEX_OWNER_DIED) == 0) {
        words.Add(followed->life.word, life, os::FutexScope::kShared);
      } else if (const Ending ending = ReadEnding(followed_pid); ending == Ending::kOfAll) {
        // Release: pairs with SpareTurn::TakeLeaveBack.
        own.turn.compare_exchange_strong(turn, attempt, std::memory_order_acq_rel);
        continue;
      } else if (ending == Ending::kNo || pause > kLastPause) {
        followed = nullptr;  // the manager will tell
      } else {
        sleep = pause;
        pause *= 2;
      }
    }
    words.Sleep(os::Deadline::After(sleep));
  }
}

}  // namespace ko
