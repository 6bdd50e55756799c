#include "ko/ipc/semaphore_words.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "ko/os/futex.h"
#include "ko/os/processors.h"
#include "ko/os/relax.h"
#include "ko/os/turnstile.h"

namespace ko {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// A few microseconds: longer than what is done under most semaphores, and a part of what a sleep costs. Looking all the time
// would take the word from the one who is about to free it.
constexpr int kSpins = 16;
constexpr int kPause = 8;

// How often the first waiter may be woken for a permit that another one takes before it. Letting those through that are
// awake saves a switch of processes for each; that they all wait is for when there is no end of them.
constexpr int kPatience = 4;

uint32_t HolderOf(uint32_t word) { return word & FUTEX_TID_MASK; }

bool IsThreadOfThisProcess(uint32_t thread_id) {
  return ::syscall(SYS_tgkill, ::getpid(), static_cast<pid_t>(thread_id), 0) == 0;
}

}  // namespace

void SemaphoreWords::Sign(void* data, uint32_t permits) {
  auto* const header = static_cast<SemaphoreHeader*>(data);
  header->magic = SemaphoreHeader::kMagic;
  header->version = SemaphoreHeader::kVersion;
  header->permits = permits;
}

absl::StatusOr<uint32_t> SemaphoreWords::CheckSignature(const os::SharedMapping& mapping) {
  const auto& header = *static_cast<const SemaphoreHeader*>(mapping.data());
  const uint32_t permits = header.permits;
  if (header.magic != SemaphoreHeader::kMagic || header.version != SemaphoreHeader::kVersion ||
      permits == 0 || permits > kMaxPermits || mapping.bytes() != SegmentBytes(permits)) {
    return absl::DataLossError("Semaphore: the object of this name is none, or of another version");
  }
  return permits;
}

SemaphoreWords::SemaphoreWords(os::SharedMapping mapping, uint32_t permits)
    : mapping_(std::move(mapping)),
      permits_(permits),
      header_(static_cast<SemaphoreHeader*>(mapping_.data())),
      words_(reinterpret_cast<os::RobustFutex*>(header_ + 1)) {}

SemaphoreWords::~SemaphoreWords() {
  os::RobustThread* const thread = os::FindRobustThread();
  // By the thread's own word: those here may have been overwritten, and its list must not lead through memory that is gone.
  for (uint32_t i = thread == nullptr ? 0 : thread->held_count; i-- > 0;) {
    os::RobustFutex* const futex = thread->held[i].futex;
    if (futex >= words_ && futex < words_ + permits_) GiveBack(*thread, *futex);
  }
  // The lists of others lead through this memory until they end.
  const uint32_t own = thread == nullptr ? 0 : thread->id;
  const bool others_hold = std::any_of(words_, words_ + permits_, [own](const os::RobustFutex& futex) {
    const uint32_t holder = HolderOf(futex.word.load(kRelaxed));
    return holder != 0 && holder != own && IsThreadOfThisProcess(holder);
  });
  if (others_hold) std::make_unique<os::SharedMapping>(std::move(mapping_)).release();
}

inline bool SemaphoreWords::Take(os::RobustThread& thread) {
  const uint32_t first = last_.load(kRelaxed);
  for (uint32_t i = 0; i < permits_; ++i) {
    const uint32_t index = first + i < permits_ ? first + i : first + i - permits_;
    os::RobustFutex& futex = words_[index];
    uint32_t word = futex.word.load(kRelaxed);
    if (HolderOf(word) != 0) continue;
    os::AnnounceRobust(*thread.head, futex, os::RobustKind::kPlain);
    // The mark of a waiter stays, and so the next release wakes it. Acquire: pairs with the release in GiveBack.
    if (futex.word.compare_exchange_strong(word, thread.id | (word & FUTEX_WAITERS),
                                           std::memory_order_acquire, kRelaxed)) {
      const bool linked = os::LinkRobustFutex(thread, futex, os::RobustKind::kPlain);
      if (!linked) futex.word.store(0, std::memory_order_release);
      os::RetractRobust(*thread.head);
      last_.store(index, kRelaxed);
      return linked;
    }
    os::RetractRobust(*thread.head);
  }
  return false;
}

bool SemaphoreWords::TakeAtOnce() {
  os::RobustThread* const thread = os::FindRobustThreadWithRoom();
  return thread != nullptr && header_->hungry.load(kRelaxed) == 0 && Take(*thread);
}

absl::Status SemaphoreWords::Acquire(absl::Duration timeout, const Interrupt& interrupt) {
  robust_list_head* head;  // makes room in the thread's list
  if (absl::Status status = os::GetRobustListHead(&head); !status.ok()) return status;
  os::RobustThread& thread = *os::FindRobustThread();
  if (header_->hungry.load(kRelaxed) == 0 && Take(thread)) return absl::OkStatus();
  if (timeout > absl::ZeroDuration() && SpinToTake(thread)) return absl::OkStatus();
  return WaitToTake(thread, os::Deadline::After(timeout), interrupt);
}

bool SemaphoreWords::TryAcquire() {
  robust_list_head* head;
  if (!os::GetRobustListHead(&head).ok()) return false;
  os::RobustThread& thread = *os::FindRobustThread();
  if (header_->hungry.load(kRelaxed) == 0) return Take(thread);
  // Somebody is first, or has died being first.
  if (!os::EnterTurnstile(header_->turnstile, os::Deadline::After(absl::ZeroDuration())).ok()) return false;
  const bool taken = Take(thread);
  header_->hungry.store(0, kRelaxed);
  os::LeaveTurnstile(header_->turnstile);
  return taken;
}

bool SemaphoreWords::SpinToTake(os::RobustThread& thread) {
  // Where there is one processor, whoever holds a permit cannot go on while this one spins.
  if (os::ProcessorCount() == 1) return false;
  for (int i = 0; i < kSpins && header_->hungry.load(kRelaxed) == 0; ++i) {
    if (Take(thread)) return true;
    for (int pause = 0; pause < kPause; ++pause) os::Relax();
  }
  return false;
}

absl::Status SemaphoreWords::WaitToTake(os::RobustThread& thread, const os::Deadline& deadline,
                                        const Interrupt& interrupt) {
  if (std::all_of(words_, words_ + permits_, [&](const os::RobustFutex& futex) {
        return HolderOf(futex.word.load(kRelaxed)) == thread.id;
      })) {
    return absl::FailedPreconditionError(
        "Semaphore: this thread holds all permits, and would wait for itself");
  }
  if (absl::Status status = os::EnterTurnstile(header_->turnstile, deadline, interrupt); !status.ok())
    return status;
  const absl::Cleanup leave = [this] {
    header_->hungry.store(0, kRelaxed);
    os::LeaveTurnstile(header_->turnstile);
  };
  return SleepToTake(thread, deadline, interrupt);
}

absl::Status SemaphoreWords::SleepToTake(os::RobustThread& thread, const os::Deadline& deadline,
                                         const Interrupt& interrupt) {
  for (int sleeps = 0;; ++sleeps) {
    // Before the words are looked at: pairs with GiveBack.
    if (sleeps == kPatience || permits_ > kWatched) header_->hungry.store(1, std::memory_order_seq_cst);
    const uint32_t bell = header_->bell.load(std::memory_order_seq_cst);
    if (Take(thread)) return absl::OkStatus();
    if (interrupt.fired()) return absl::CancelledError("Semaphore: interrupted");
    if (deadline.expired()) return absl::DeadlineExceededError("Semaphore: no permit became free");
    os::FutexWaitList waits;
    const absl::StatusOr<bool> watched = Watch(bell, waits);
    if (!watched.ok()) return watched.status();
    if (!*watched) continue;
    if (interrupt.word != nullptr) waits.Add(*interrupt.word, interrupt.expected, os::FutexScope::kPrivate);
    waits.Sleep(deadline);
  }
}

absl::StatusOr<bool> SemaphoreWords::Watch(uint32_t bell, os::FutexWaitList& waits) {
  for (uint32_t i = 0; i < permits_; ++i) {
    std::atomic<uint32_t>& word = words_[i].word;
    uint32_t value = word.load(kRelaxed);
    if (HolderOf(value) == 0) return false;
    if (i >= kWatched) continue;
    if ((value & FUTEX_WAITERS) == 0) {
      if (!word.compare_exchange_strong(value, value | FUTEX_WAITERS, kRelaxed)) return false;
      value |= FUTEX_WAITERS;
    }
    // Where the holder has ended meanwhile, the kernel has changed the word before.
    if (::kill(static_cast<pid_t>(HolderOf(value)), 0) == -1 && errno == ESRCH &&
        word.load(kRelaxed) == value) {
      return absl::DataLossError(
          "Semaphore: its memory has been overwritten: a permit of a thread that does not exist");
    }
    waits.Add(word, value, os::FutexScope::kShared);
  }
  if (permits_ > kWatched) waits.Add(header_->bell, bell, os::FutexScope::kShared);
  return true;
}

void SemaphoreWords::GiveBack(os::RobustThread& thread, os::RobustFutex& futex) {
  os::AnnounceRobust(*thread.head, futex, os::RobustKind::kPlain);
  os::UnlinkRobustFutex(thread, futex);
  // Release: pairs with the acquire in Take. In one order with `hungry` where the bell is needed.
  uint32_t word = thread.id;
  if (!futex.word.compare_exchange_strong(word, 0, std::memory_order_seq_cst)) {
    // The mark stays until it is known that somebody has been woken, or that there is nobody: where this thread dies before,
    // and the permit has been taken by then, it is the next release that wakes.
    futex.word.store(FUTEX_WAITERS, std::memory_order_seq_cst);
    word = FUTEX_WAITERS;
    if (os::FutexWake(futex.word, os::FutexScope::kShared, 1) == 0) {
      futex.word.compare_exchange_strong(word, 0, kRelaxed);
    }
  }
  if (permits_ > kWatched && header_->hungry.load(std::memory_order_seq_cst) != 0) {
    header_->bell.fetch_add(1, std::memory_order_seq_cst);
    os::FutexWake(header_->bell, os::FutexScope::kShared, 1);
  }
  os::RetractRobust(*thread.head);
}

absl::Status SemaphoreWords::Release() {
  os::RobustThread* const thread = os::FindRobustThread();
  const uint32_t first = last_.load(kRelaxed);
  for (uint32_t i = 0; thread != nullptr && i < permits_; ++i) {
    os::RobustFutex& futex = words_[first + i < permits_ ? first + i : first + i - permits_];
    if (HolderOf(futex.word.load(kRelaxed)) != thread->id) continue;
    GiveBack(*thread, futex);
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError("Semaphore: this thread has acquired no permit that it could release");
}

uint32_t SemaphoreWords::available() const {
  return static_cast<uint32_t>(std::count_if(words_, words_ + permits_, [](const os::RobustFutex& futex) {
    return HolderOf(futex.word.load(kRelaxed)) == 0;
  }));
}

bool SemaphoreWords::IsAcquired() const {
  const os::RobustThread* const thread = os::FindRobustThread();
  return std::any_of(words_, words_ + permits_, [&](const os::RobustFutex& futex) {
    const uint32_t holder = HolderOf(futex.word.load(kRelaxed));
    return holder != 0 && ((thread != nullptr && holder == thread->id) || IsThreadOfThisProcess(holder));
  });
}

}  // namespace ko
