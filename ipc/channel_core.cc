#include "ko/ipc/channel_core.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "ko/os/futex.h"
#include "ko/os/membarrier.h"
#include "ko/os/named_mapping.h"
#include "ko/os/process_mark.h"
#include "ko/os/processors.h"
#include "ko/os/relax.h"
#include "ko/os/robust_lock.h"
#include "ko/os/spin_habit.h"
#include "ko/os/thread_id.h"
#include "ko/os/turnstile.h"

namespace ko {
namespace {

using os::AnnounceRobust;
using os::RobustKind;

// All steps on state words, bells and the word of Close are sequentially consistent: whoever takes a step and then looks
// for a sleeper, and whoever is about to sleep and then looks for the step, must not miss each other.
constexpr auto kTotal = std::memory_order_seq_cst;

// Nobody lives through more of them between two steps; and no two positions that far apart look alike.
constexpr uint64_t kMaxTurnsInACall = uint64_t{1} << (kTurnBits - 2);

// How long TrySend and TryReceive wait for an owner that does not run while it is in a step.
constexpr absl::Duration kTrysPatience = absl::Milliseconds(10);

absl::Status TrysStatus(const absl::Status& status) {
  if (!absl::IsDeadlineExceeded(status)) return status;
  return absl::UnavailableError("another thread has been stopped within a call");
}

// How long a side waits for more than one message, or room for more than one.
constexpr absl::Duration kBatchPatience = absl::Microseconds(1);

constexpr int kMinPause = 1;
constexpr int kMaxPause = 64;

// Where the machine can exchange 16 bytes at once, a message of up to 8 bytes needs no claim. The thread sanitizer does not
// know the instruction.
#if defined(__x86_64__) && !defined(ABSL_HAVE_THREAD_SANITIZER)
constexpr bool kHasPairExchange = true;

bool ExchangePair(ChannelCell& cell, uint64_t expected_state, uint64_t expected_first, uint64_t state,
                  uint64_t first) {
  bool exchanged;
  asm volatile("lock cmpxchg16b %1"
               : "=@ccz"(exchanged), "+m"(cell), "+a"(expected_state), "+d"(expected_first)
               : "b"(state), "c"(first)
               : "memory");
  return exchanged;
}
#else
constexpr bool kHasPairExchange = false;

bool ExchangePair(ChannelCell&, uint64_t, uint64_t, uint64_t, uint64_t) { return false; }
#endif

// Tells the sleeper that there is something to look at. The caller has announced the bell; a second one who comes between
// the two steps leaves the wake-up to the first. False where nobody sleeps.
bool Ring(os::RobustFutex& bell) {
  if (bell.word.load(kTotal) == 0) return false;
  bell.word.store(0, kTotal);
  os::FutexWake(bell.word, os::FutexScope::kShared, 1);
  return true;
}

uint64_t NewId() {
  constinit static std::atomic<uint64_t> last = 0;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(absl::StrCat("the channel's shared memory has been overwritten: ", what));
}

absl::Status ClosedError() { return absl::FailedPreconditionError("the channel is closed"); }

}  // namespace

absl::StatusOr<std::unique_ptr<ChannelCore>> ChannelCore::Create(const ChannelOptions& options,
                                                                 bool byte_strings, size_t message_bytes) {
  if (absl::Status status = os::CheckFutexWaitv(); !status.ok()) return status;
  absl::StatusOr<ChannelGeometry> geometry =
      ChannelGeometry::Of(options.capacity, byte_strings ? options.max_message_bytes : message_bytes,
                          byte_strings, options.max_participants);
  if (!geometry.ok()) return geometry.status();
  const auto initialize = [&](void* data) { ChannelSegment(data, *geometry).Initialize(); };
  absl::StatusOr<os::SharedMapping> mapping;
  os::EventFd poll_fd;
  if (!options.name.empty()) {
    if (options.pollable) {
      return absl::InvalidArgumentError(
          "a named channel has no poll_fd, since those who open it would not share it");
    }
    mapping = os::CreateNamedMapping(options.name, geometry->segment_bytes, initialize);
    if (!mapping.ok()) return mapping.status();
  } else {
    mapping = os::SharedMapping::Create(geometry->segment_bytes);
    if (!mapping.ok()) return mapping.status();
    initialize(mapping->data());
  }
  if (options.pollable) {
    absl::StatusOr<os::EventFd> created = os::EventFd::Create();
    if (!created.ok()) return created.status();
    poll_fd = *std::move(created);
  }
  return std::unique_ptr<ChannelCore>(
      new ChannelCore(*std::move(mapping), *geometry, std::move(poll_fd), options.pollable));
}

absl::StatusOr<std::unique_ptr<ChannelCore>> ChannelCore::Open(std::string_view name, bool byte_strings,
                                                               size_t message_bytes) {
  if (absl::Status status = os::CheckFutexWaitv(); !status.ok()) return status;
  absl::StatusOr<os::SharedMapping> mapping = os::OpenNamedMapping(name, sizeof(ChannelHeader));
  if (!mapping.ok()) return mapping.status();
  absl::StatusOr<ChannelGeometry> geometry = ChannelGeometry::OfHeader(
      *static_cast<const ChannelHeader*>(mapping->data()), message_bytes, byte_strings);
  if (!geometry.ok()) return geometry.status();
  if (mapping->bytes() < geometry->segment_bytes) return Damaged("it is smaller than its header says");
  return std::unique_ptr<ChannelCore>(
      new ChannelCore(*std::move(mapping), *geometry, os::EventFd(), /*pollable=*/false));
}

ChannelCore::ChannelCore(os::SharedMapping mapping, const ChannelGeometry& geometry, os::EventFd poll_fd,
                         bool pollable)
    : mapping_(std::make_shared<const os::SharedMapping>(std::move(mapping))),
      segment_(mapping_->data(), geometry),
      participants_(segment_),
      owners_(segment_, participants_),
      poll_fd_(std::move(poll_fd)),
      pollable_(pollable),
      // A pollable channel's sender has to ring between claim and publication.
      is_pair_(kHasPairExchange && !pollable && geometry.cell_bytes == sizeof(ChannelCell) &&
               !geometry.byte_strings),
      receivers_claim_(geometry.max_message_bytes > kMaxUnclaimedBytes),
      id_(NewId()) {}

ChannelCore::~ChannelCore() { participants_.Leave(); }

constinit thread_local ChannelCore::Caller ChannelCore::remembered_[kRemembered] = {};

const ChannelCore::Caller* ChannelCore::FindCaller(bool needs_slot, absl::Status& status) {
  Caller& caller = Remembered();
  if (IsCaller(caller) && (!needs_slot || caller.has_slot())) return &caller;
  return FindCallerSlowly(caller, needs_slot, status);
}

const ChannelCore::Caller* ChannelCore::FindCallerSlowly(Caller& cached, bool needs_slot,
                                                         absl::Status& status) {
  const uint64_t process_mark = os::ProcessMark();
  Caller caller = cached;  // with what the thread has learnt of this channel
  if (cached.channel != id_ || cached.process_mark != process_mark) {
    caller = {};
    caller.process_mark = process_mark;
    caller.channel = id_;
    caller.slot = kNobody;
  }
  status = os::GetRobustListHead(&caller.robust_list);
  if (!status.ok()) return nullptr;
  if (needs_slot) {
    const absl::StatusOr<uint32_t> slot = participants_.Join(mapping_);
    if (!slot.ok()) {
      status = slot.status();
      return nullptr;
    }
    caller.slot = *slot;
    ChannelParticipant& participant = segment_.participants[*slot];
    caller.life = &participant.life.word;
    caller.sends.busy = &participant.sends;
    caller.receives.busy = &participant.receives;
    caller.life_word = static_cast<uint32_t>(os::ThreadId());
  }
  cached = caller;
  return &cached;
}

size_t ChannelCore::size() const {
  const uint64_t received = segment_.header->receivers.hint.load(std::memory_order_relaxed);
  const uint64_t sent = segment_.header->senders.hint.load(std::memory_order_relaxed);
  return sent > received ? std::min<uint64_t>(sent - received, capacity()) : 0;
}

absl::StatusOr<int> ChannelCore::poll_fd() const {
  if (pollable_) return poll_fd_.fd();
  return absl::FailedPreconditionError("the channel has no poll_fd: it was not made pollable");
}

inline size_t ChannelCore::BytesIn(const ChannelCell& cell) const {
  return segment_.geometry.byte_strings ? cell.first.load(std::memory_order_relaxed)
                                        : segment_.geometry.max_message_bytes;
}

ChannelCore::Scan ChannelCore::PassOwned(ChannelCell& cell, uint64_t word, Obstacle& obstacle,
                                         absl::Status& status) {
  const uint32_t owner = CellOwnerOf(word);
  if (owner != kNobody && !participants_.IsSlot(owner)) {
    status = Damaged("a cell's owner");
    return Scan::kFailed;
  }
  if (!participants_.IsDead(owner)) {
    obstacle = {&cell, word, /*has_owner=*/true};
    return Scan::kBlocked;
  }
  // This ends the cell's turn, as receiving does.
  ChannelSide& senders = segment_.header->senders;
  if (cell.state.compare_exchange_strong(word, PackCell(CellState::kEmpty, CellTurnOf(word) + 1), kTotal)) {
    Ring(senders.bell);
  }
  return Scan::kAgain;
}

ChannelCore::Scan ChannelCore::Advance(const ChannelSide& side, uint64_t start, uint64_t next,
                                       uint64_t& position, absl::Status& status) {
  // Acquire: pairs with the release by whoever moved the hint. The cells before it must not be found as they were earlier.
  const uint64_t hint = side.hint.load(std::memory_order_acquire);
  position = static_cast<int64_t>(hint - next) > 0 ? hint : next;
  // Overwritten turns, which count in a circle, could lead around it for ever.
  if (segment_.TurnOf(position) - segment_.TurnOf(start) > kMaxTurnsInACall) {
    status = Damaged("the turns of cells");
    return Scan::kFailed;
  }
  return Scan::kAgain;
}

// What has happened to a cell tells about those before it, too, since they are claimed in order.
ChannelCore::Scan ChannelCore::PassSender(uint64_t start, uint64_t& position, uint64_t word,
                                          Obstacle& obstacle, absl::Status& status) {
  const CellState state = CellStateOf(word);
  const int64_t ahead = TurnsAhead(word, segment_.TurnOf(position));
  if (ahead < -1 || (ahead <= 0 && state == CellState::kEmpty)) {
    status = Damaged("a cell that senders have passed");
    return Scan::kFailed;
  }
  if (ahead == -1) {
    ChannelCell& cell = segment_.At(position);
    if (state != CellState::kFull) return PassOwned(cell, word, obstacle, status);
    obstacle = {&cell, word, /*has_owner=*/false};
    return Scan::kBlocked;
  }
  const uint64_t claimed_turns = static_cast<uint64_t>(ahead) - (state == CellState::kEmpty ? 1 : 0);
  return Advance(segment_.header->senders, start, position + claimed_turns * segment_.geometry.capacity + 1,
                 position, status);
}

ChannelCore::Scan ChannelCore::PassReceiver(uint64_t start, uint64_t& position, uint64_t word,
                                            Obstacle& obstacle, absl::Status& status) {
  const CellState state = CellStateOf(word);
  const int64_t ahead = TurnsAhead(word, segment_.TurnOf(position));
  ChannelCell& cell = segment_.At(position);
  if (ahead == 0 && word == PackCell(CellState::kEmpty, CellTurnOf(word))) {
    obstacle = {&cell, word, /*has_owner=*/false};
    return Scan::kBlocked;
  }
  // One that is read in the turn before is not even free to be sent into.
  if ((ahead == 0 && state == CellState::kWriting) || (ahead == -1 && state == CellState::kReading)) {
    return PassOwned(cell, word, obstacle, status);
  }
  if (ahead < 0 || (ahead == 0 && state != CellState::kReading)) {
    status = Damaged("a cell that receivers have passed");
    return Scan::kFailed;
  }
  const uint64_t received_turns = ahead == 0 ? 0 : static_cast<uint64_t>(ahead) - 1;
  return Advance(segment_.header->receivers, start,
                 position + received_turns * segment_.geometry.capacity + 1, position, status);
}

bool ChannelCore::LetsIn(const Caller& caller, const ChannelSide& side) const {
  return ChannelOwners::LetsIn(side.owner.load(kTotal), caller.slot);
}

absl::Status ChannelCore::TakeBack(const Caller& caller, ChannelSide& side, const Patience& patience) const {
  const os::Deadline deadline =
      patience.deadline != nullptr ? *patience.deadline : os::Deadline::After(patience.timeout);
  return owners_.TakeBack(side, caller.slot, *caller.robust_list, deadline, patience.interrupt);
}

void ChannelCore::RingAsOwner(ChannelSide& side, ChannelSide& other, CallersSide& own, uint64_t position) {
  Ring(other.bell);
  if (own.habit.Rang(position)) return;
  owners_.GiveBack(side, own.alone);
  own.alone = ChannelOwners::kNever;
}

void ChannelCore::ConsiderOwning(const Caller& caller, ChannelSide& side, CallersSide& own,
                                 uint64_t position) {
  if (pollable_) return;
  const uint64_t owner = side.owner.load(std::memory_order_relaxed);
  if (own.alone != ChannelOwners::kNever && own.alone != owner) {
    own.alone = ChannelOwners::kNever;
    own.habit.Lost(position);
  }
  const bool wants = own.habit.WantsToOwn(position);
  if (ChannelOwners::IsOf(owner, caller.slot)) {
    own.alone = owners_.TakeAlone(side, caller.slot);
  } else if (wants && ChannelOwners::IsNobodys(owner)) {
    absl::Status status;
    const Caller* const participant = FindCaller(/*needs_slot=*/true, status);
    if (participant == nullptr || !owners_.Take(side, participant->slot)) own.habit.Lost(position);
  }
}

ChannelCore::Step ChannelCore::SendBesideOthers(const Caller& caller, std::string_view message,
                                                const Patience& patience, Obstacle& obstacle,
                                                absl::Status& status) {
  ChannelHeader& header = *segment_.header;
  // Acquire: as in Advance.
  uint64_t position = header.senders.hint.load(std::memory_order_acquire);
  const uint64_t start = position;
  Step step = Step::kDone;
  while (true) {
    if (closed()) {
      status = ClosedError();
      step = Step::kFailed;
      break;
    }
    ChannelCell& cell = segment_.At(position);
    uint64_t word = cell.state.load(kTotal);
    const uint64_t turn = segment_.TurnOf(position);
    if (word != PackCell(CellState::kEmpty, turn)) {
      AnnounceRobust(*caller.robust_list, header.senders.bell, RobustKind::kPlain);
      const Scan scan = PassSender(start, position, word, obstacle, status);
      if (scan == Scan::kAgain) continue;
      step = scan == Scan::kBlocked ? Step::kBlocked : Step::kFailed;
      break;
    }
    // After the look at the cell, see ChannelOwners.
    if (!LetsIn(caller, header.senders)) {
      status = TakeBack(caller, header.senders, patience);
      if (status.ok()) continue;
      step = Step::kFailed;
      break;
    }
    AnnounceRobust(*caller.robust_list, header.receivers.bell, RobustKind::kPlain);
    if (is_pair_) {
      uint64_t first = 0;
      std::memcpy(&first, message.data(), message.size());
      const uint64_t full = PackCell(CellState::kFull, turn);
      if (!ExchangePair(cell, word, cell.first.load(std::memory_order_relaxed), full, first)) continue;
    } else {
      // Release by the exchange that follows: whoever finds the claim finds the position, too.
      segment_.participants[caller.slot].position.store(position, std::memory_order_relaxed);
      const uint64_t claimed = PackCell(CellState::kWriting, turn, caller.slot);
      if (!cell.state.compare_exchange_strong(word, claimed, kTotal)) continue;
    }
    // As in Pass.
    header.senders.hint.store(position + 1, std::memory_order_release);
    step = SendClaimed(caller, message, position, status);
    break;
  }
  os::RetractRobust(*caller.robust_list);
  if (step == Step::kDone) ConsiderOwning(caller, header.senders, caller.sends, position);
  return step;
}

ChannelCore::Step ChannelCore::SendClaimed(const Caller& caller, std::string_view message, uint64_t position,
                                           absl::Status& status) {
  ChannelHeader& header = *segment_.header;
  ChannelCell& cell = segment_.At(position);
  const uint64_t turn = segment_.TurnOf(position);
  const uint64_t full = PackCell(CellState::kFull, turn);
  const uint64_t nobodys = PackCell(CellState::kWriting, turn, kNobody);
  if (is_pair_) {
    if (Ring(header.receivers.bell)) caller.sends.habit.Rang(position);
    // A receiver may have found the closed channel empty before. Then the message must not have been sent.
    if (!closed()) return Step::kDone;
    // An owner would take it without another look. Where that is not to be helped, the message is sent.
    if (!ChannelOwners::IsNobodys(header.receivers.owner.load(kTotal))) {
      const Patience patience = {.timeout = absl::InfiniteDuration()};
      if (!TakeBack(caller, header.receivers, patience).ok()) return Step::kDone;
      AnnounceRobust(*caller.robust_list, header.receivers.bell, RobustKind::kPlain);
    }
    uint64_t word = full;
    if (!cell.state.compare_exchange_strong(word, nobodys, kTotal)) return Step::kDone;
    Ring(header.receivers.bell);
    status = ClosedError();
    return Step::kFailed;
  }
  uint64_t word = PackCell(CellState::kWriting, turn, caller.slot);
  if (pollable_) {
    status = RingPollFd();
    AnnounceRobust(*caller.robust_list, header.receivers.bell, RobustKind::kPlain);
  }
  if (status.ok() && closed()) status = ClosedError();
  if (status.ok()) {
    FillCell(cell, message, segment_.geometry.byte_strings);
  }
  if (!cell.state.compare_exchange_strong(word, status.ok() ? full : nobodys, kTotal)) {
    status = Damaged("a cell that was being filled");
  }
  if (Ring(header.receivers.bell)) caller.sends.habit.Rang(position);
  return status.ok() ? Step::kDone : Step::kFailed;
}

ChannelCore::Step ChannelCore::ReceiveBesideOthers(const Caller& caller, Target target,
                                                   const Patience& patience, Obstacle& obstacle,
                                                   absl::Status& status) {
  ChannelHeader& header = *segment_.header;
  AnnounceRobust(*caller.robust_list, header.senders.bell, RobustKind::kPlain);
  // Acquire: as in Advance.
  uint64_t position = header.receivers.hint.load(std::memory_order_acquire);
  const uint64_t start = position;
  Step step = Step::kDone;
  while (true) {
    ChannelCell& cell = segment_.At(position);
    uint64_t word = cell.state.load(kTotal);
    const uint64_t turn = segment_.TurnOf(position);
    if (word != PackCell(CellState::kFull, turn)) {
      const Scan scan = PassReceiver(start, position, word, obstacle, status);
      if (scan == Scan::kAgain) continue;
      step = scan == Scan::kBlocked ? Step::kBlocked : Step::kFailed;
      if (step == Step::kBlocked && CellStateOf(word) != CellState::kWriting && closed()) {
        // A sender that had claimed the cell before Close has been seen by now; a later one takes its claim back. An owner
        // claims nothing.
        if (!ChannelOwners::IsNobodys(header.senders.owner.load(kTotal))) {
          status = TakeBack(caller, header.senders, patience);
          if (!status.ok()) {
            step = Step::kFailed;
            break;
          }
          AnnounceRobust(*caller.robust_list, header.senders.bell, RobustKind::kPlain);
        }
        if (cell.state.load(kTotal) != word) continue;
        status = ClosedError();
        step = Step::kFailed;
      }
      break;
    }
    // As in SendBesideOthers.
    if (!LetsIn(caller, header.receivers)) {
      status = TakeBack(caller, header.receivers, patience);
      if (!status.ok()) {
        step = Step::kFailed;
        break;
      }
      AnnounceRobust(*caller.robust_list, header.senders.bell, RobustKind::kPlain);
      continue;
    }
    const char* const payload = segment_.PayloadOf(cell);
    const size_t bytes = BytesIn(cell);
    if (bytes > segment_.geometry.max_message_bytes) {
      if (cell.state.load(kTotal) != word) continue;  // it was another message's
      status = Damaged("a message's length");
      step = Step::kFailed;
      break;
    }
    const uint64_t empty = PackCell(CellState::kEmpty, turn + 1);
    if (target.bytes != nullptr) target.bytes->reserve(bytes);  // before there is something to lose
    if (bytes <= kMaxUnclaimedBytes) {
      char buffer[kMaxUnclaimedBytes];
      char* const copy = target.bytes != nullptr ? buffer : static_cast<char*>(target.fixed);
      LoadUnclaimed(copy, payload, bytes);
      if (!cell.state.compare_exchange_strong(word, empty, kTotal)) continue;
      if (target.bytes != nullptr) target.bytes->assign(buffer, bytes);
    } else {
      // As in SendBesideOthers.
      segment_.participants[caller.slot].position.store(position, std::memory_order_relaxed);
      const uint64_t claimed = PackCell(CellState::kReading, turn, caller.slot);
      if (!cell.state.compare_exchange_strong(word, claimed, kTotal)) continue;
    }
    step = Step::kDone;  // whatever was found before
    // As in Pass.
    header.receivers.hint.store(position + 1, std::memory_order_release);
    if (bytes > kMaxUnclaimedBytes) {
      if (target.bytes != nullptr) {
        target.bytes->assign(payload, bytes);
      } else {
        std::memcpy(target.fixed, payload, bytes);
      }
      word = PackCell(CellState::kReading, turn, caller.slot);
      if (!cell.state.compare_exchange_strong(word, empty, kTotal)) {
        status = Damaged("a cell that was being read");
        step = Step::kFailed;
      }
    }
    if (Ring(header.senders.bell)) caller.receives.habit.Rang(position);
    break;
  }
  os::RetractRobust(*caller.robust_list);
  if (step == Step::kDone) ConsiderOwning(caller, header.receivers, caller.receives, position);
  return step;
}

absl::Status ChannelCore::TooLong(std::string_view message) const {
  return absl::InvalidArgumentError(absl::StrCat("a message of ", message.size(),
                                                 " bytes; the limit of the channel is ",
                                                 segment_.geometry.max_message_bytes));
}

absl::Status ChannelCore::TrySend(std::string_view message) {
  if (message.size() > segment_.geometry.max_message_bytes) return TooLong(message);
  absl::Status status;
  const Caller* const caller = FindCaller(!is_pair_, status);
  if (caller == nullptr) return status;
  Obstacle obstacle;
  if (SendBesideOthers(*caller, message, {.timeout = kTrysPatience}, obstacle, status) != Step::kBlocked) {
    return TrysStatus(status);
  }
  return absl::UnavailableError("the channel is full");
}

absl::Status ChannelCore::Send(std::string_view message, absl::Duration timeout, Interrupt interrupt) {
  if (message.size() > segment_.geometry.max_message_bytes) return TooLong(message);
  if (interrupt.fired()) return absl::CancelledError("interrupted");
  absl::Status status;
  const Caller* const caller = FindCaller(!is_pair_, status);
  if (caller == nullptr) return status;
  return SendBesideOthers(*caller, message, timeout, interrupt);
}

absl::Status ChannelCore::SendBesideOthers(const Caller& caller, std::string_view message,
                                           absl::Duration timeout, const Interrupt& interrupt) {
  absl::Status status;
  Obstacle obstacle;
  const Patience patience = {.timeout = timeout, .interrupt = interrupt};
  if (SendBesideOthers(caller, message, patience, obstacle, status) != Step::kBlocked) return status;
  status = Block(caller, segment_.header->senders, timeout, interrupt,
                 [&](const os::Deadline& deadline, Obstacle& obstacle, absl::Status& status) {
                   if (SendAlone(message, segment_.geometry.byte_strings)) return Step::kDone;
                   const Patience patience = {.deadline = &deadline, .interrupt = interrupt};
                   return SendBesideOthers(caller, message, patience, obstacle, status);
                 });
  if (absl::IsDeadlineExceeded(status)) return absl::DeadlineExceededError("the channel stayed full");
  return status;
}

absl::Status ChannelCore::TryReceive(Target target) {
  absl::Status status;
  const Caller* const caller = FindCaller(receivers_claim_, status);
  if (caller == nullptr) return status;
  Obstacle obstacle;
  if (ReceiveBesideOthers(*caller, target, {.timeout = kTrysPatience}, obstacle, status) != Step::kBlocked) {
    return TrysStatus(status);
  }
  if (absl::Status drained = DrainPollFd(); !drained.ok()) return drained;
  return absl::UnavailableError("the channel is empty");
}

absl::Status ChannelCore::Receive(Target target, absl::Duration timeout, Interrupt interrupt) {
  if (interrupt.fired()) return absl::CancelledError("interrupted");
  absl::Status status;
  const Caller* const caller = FindCaller(receivers_claim_, status);
  if (caller == nullptr) return status;
  return ReceiveBesideOthers(*caller, target, timeout, interrupt);
}

absl::Status ChannelCore::ReceiveBesideOthers(const Caller& caller, Target target, absl::Duration timeout,
                                              const Interrupt& interrupt) {
  absl::Status status;
  Obstacle obstacle;
  const Patience patience = {.timeout = timeout, .interrupt = interrupt};
  if (ReceiveBesideOthers(caller, target, patience, obstacle, status) != Step::kBlocked) return status;
  status = Block(caller, segment_.header->receivers, timeout, interrupt,
                 [&](const os::Deadline& deadline, Obstacle& obstacle, absl::Status& status) {
                   if (ReceiveAlone(target, segment_.geometry.max_message_bytes)) return Step::kDone;
                   const Patience patience = {.deadline = &deadline, .interrupt = interrupt};
                   return ReceiveBesideOthers(caller, target, patience, obstacle, status);
                 });
  if (!absl::IsDeadlineExceeded(status)) return status;
  if (absl::Status drained = DrainPollFd(); !drained.ok()) return drained;
  return absl::DeadlineExceededError("no message has come");
}

bool ChannelCore::Spin(const Caller& caller, const ChannelSide& side, const os::Deadline& deadline,
                       Attempt attempt, absl::Status& status) {
  if (!caller.habit.is_hot() && os::CountProcessors() == 1) {
    caller.habit.FoundNothing();
    return false;
  }
  const bool sends = &side == &segment_.header->senders;
  const uint64_t position = side.hint.load(std::memory_order_relaxed);
  const uint64_t wanted = std::min((sends ? caller.sends : caller.receives).batch.Wait(position),
                                   segment_.geometry.capacity / 4 + 1);
  const uint64_t last = position + wanted - 1;
  const std::atomic<uint64_t>& last_word = segment_.At(last).state;
  const uint64_t last_ready = PackCell(sends ? CellState::kEmpty : CellState::kFull, segment_.TurnOf(last));
  const absl::Duration start = os::MonotonicNow();
  const absl::Duration end = std::min(start + os::SpinHabit::kLongest, deadline.at());
  // Looking all the time would take the cell from the one who is about to change it, and a side that is ahead by some
  // messages works faster.
  absl::Duration now = start;
  for (int pause = kMinPause; now < end; pause = std::min(2 * pause, kMaxPause)) {
    for (int i = 0; i < pause; ++i) os::Relax();
    now = os::MonotonicNow();
    // Relaxed: the attempt looks for itself.
    if (last_word.load(std::memory_order_relaxed) != last_ready && now - start < kBatchPatience) continue;
    Obstacle obstacle;
    if (attempt(deadline, obstacle, status) == Step::kBlocked) continue;
    caller.habit.Found(now - start);
    return true;
  }
  caller.habit.FoundNothing();
  return false;
}

absl::Status ChannelCore::Block(const Caller& caller, ChannelSide& side, absl::Duration timeout,
                                const Interrupt& interrupt, Attempt attempt) {
  if (timeout <= absl::ZeroDuration()) return absl::DeadlineExceededError("");
  const os::Deadline deadline = os::Deadline::After(timeout);
  absl::Status spun;
  if (caller.habit.WantsToSpin() && Spin(caller, side, deadline, attempt, spun)) return spun;
  absl::Status status = os::EnterTurnstile(side.turnstile, deadline, interrupt);
  if (!status.ok()) return status;
  status = BlockInside(caller, side, deadline, interrupt, attempt);
  // Relaxed: whoever reads an older value wakes nobody.
  side.bell.word.store(0, std::memory_order_relaxed);
  os::LeaveTurnstile(side.turnstile);
  return status;
}

absl::Status ChannelCore::BlockInside(const Caller& caller, ChannelSide& side, const os::Deadline& deadline,
                                      const Interrupt& interrupt, Attempt attempt) {
  ChannelHeader& header = *segment_.header;
  const bool sends = &side == &header.senders;
  ChannelSide& other = sends ? header.receivers : header.senders;
  while (true) {
    const bool was_closed = closed();
    side.bell.word.store(ChannelSide::kAsleep, kTotal);
    Obstacle obstacle;
    absl::Status status;
    // An owner looks for the bell without a fence, and names another word to the kernel. Its death wakes this thread, too.
    const uint64_t owner = other.owner.load(kTotal);
    const bool is_owned = owners_.IsSomebodyElses(owner, caller.slot);
    if (is_owned) {
      if (status = os::BarrierForAll(); !status.ok()) return status;
    }
    if (attempt(deadline, obstacle, status) != Step::kBlocked) {
      // The one that closed it may have died, and the kernel has woken this thread alone.
      if (closed()) os::FutexWake(header.closed.word, os::FutexScope::kShared, 2);
      return status;
    }
    if (interrupt.fired()) return absl::CancelledError("interrupted");
    if (deadline.expired()) return absl::DeadlineExceededError("");
    os::FutexWaitList waits;
    waits.Add(side.bell.word, ChannelSide::kAsleep, os::FutexScope::kShared);
    if (!was_closed) waits.Add(header.closed.word, 0, os::FutexScope::kShared);
    const auto* const low_half = reinterpret_cast<const std::atomic<uint32_t>*>(&obstacle.cell->state);
    waits.Add(*low_half, static_cast<uint32_t>(obstacle.word), os::FutexScope::kShared);
    if (obstacle.has_owner && !participants_.Watch(CellOwnerOf(obstacle.word), sends, waits)) continue;
    if (is_owned && !participants_.Watch(ChannelOwners::SlotOf(owner), sends, waits)) continue;
    if (interrupt.word != nullptr) waits.Add(*interrupt.word, interrupt.expected, os::FutexScope::kPrivate);
    // If this thread is the one that the kernel wakes for a dead closer, and dies as well, the other side's is next. The next
    // attempt, or the turnstile, announces something else.
    AnnounceRobust(*caller.robust_list, header.closed, RobustKind::kPlain);
    waits.Sleep(deadline);
  }
}

absl::Status ChannelCore::Close() {
  absl::Status status;
  const Caller* const caller = FindCaller(/*needs_slot=*/false, status);
  if (caller == nullptr) return status;
  ChannelHeader& header = *segment_.header;
  if (pollable_) {
    if (absl::StatusOr<os::RobustLockState> lock = os::AcquireRobustLock(header.poll_lock); !lock.ok())
      return lock.status();
    if (status = os::KeepRobustLock(header.poll_lock); !status.ok()) {
      os::ReleaseRobustLock(header.poll_lock);
      return status;
    }
    // First: nobody drains it while the lock is held, and nobody at all of a closed channel.
    poll_fd_.Notify();
  }
  AnnounceRobust(*caller->robust_list, header.closed, RobustKind::kPlain);
  header.closed.word.store(ChannelHeader::kClosed, kTotal);
  // One of each side; they let the others of their side through the turnstile, who look first.
  os::FutexWake(header.closed.word, os::FutexScope::kShared, 2);
  os::RetractRobust(*caller->robust_list);
  if (pollable_) os::ReleaseKeptRobustLock(header.poll_lock);
  return absl::OkStatus();
}

absl::Status ChannelCore::RingPollFd() {
  std::atomic<uint32_t>& state = segment_.header->poll_state;
  // After the claim of a cell: a receiver that is about to drain has either seen the claim, or is seen here.
  if (state.load(kTotal) == static_cast<uint32_t>(PollState::kRung)) return absl::OkStatus();
  os::RobustFutex& lock = segment_.header->poll_lock;
  if (absl::StatusOr<os::RobustLockState> taken = os::AcquireRobustLock(lock); !taken.ok())
    return taken.status();
  // Each of the three is in effect before the next, since the middle one is a system call.
  state.store(static_cast<uint32_t>(PollState::kUnknown), kTotal);
  poll_fd_.Notify();
  state.store(static_cast<uint32_t>(PollState::kRung), kTotal);
  os::ReleaseRobustLock(lock);
  return absl::OkStatus();
}

absl::Status ChannelCore::DrainPollFd() {
  if (!pollable_) return absl::OkStatus();
  std::atomic<uint32_t>& state = segment_.header->poll_state;
  if (state.load(kTotal) == static_cast<uint32_t>(PollState::kDrained)) return absl::OkStatus();
  os::RobustFutex& lock = segment_.header->poll_lock;
  absl::Status status;
  const Caller* const caller = FindCaller(/*needs_slot=*/false, status);
  if (caller == nullptr) return status;
  if (absl::StatusOr<os::RobustLockState> taken = os::AcquireRobustLock(lock); !taken.ok())
    return taken.status();
  if (status = os::KeepRobustLock(lock); !status.ok()) {
    os::ReleaseRobustLock(lock);
    return status;
  }
  state.store(static_cast<uint32_t>(PollState::kUnknown), kTotal);
  if (MayHaveMessage(*caller)) {
    poll_fd_.Notify();
    state.store(static_cast<uint32_t>(PollState::kRung), kTotal);
  } else {
    poll_fd_.Drain();
    state.store(static_cast<uint32_t>(PollState::kDrained), kTotal);
  }
  os::ReleaseKeptRobustLock(lock);
  return absl::OkStatus();
}

bool ChannelCore::MayHaveMessage(const Caller& caller) {
  if (closed()) return true;
  AnnounceRobust(*caller.robust_list, segment_.header->senders.bell, RobustKind::kPlain);
  uint64_t position = segment_.header->receivers.hint.load(std::memory_order_acquire);  // as in Advance
  const uint64_t start = position;
  Scan scan = Scan::kAgain;
  Obstacle obstacle;
  absl::Status status;
  while (scan == Scan::kAgain) {
    const uint64_t word = segment_.At(position).state.load(kTotal);
    if (word == PackCell(CellState::kFull, segment_.TurnOf(position))) break;
    scan = PassReceiver(start, position, word, obstacle, status);
  }
  os::RetractRobust(*caller.robust_list);
  return scan != Scan::kBlocked || CellStateOf(obstacle.word) == CellState::kWriting;
}

}  // namespace ko
