#ifndef KO_IPC_CHANNEL_SEGMENT_H_
#define KO_IPC_CHANNEL_SEGMENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/ipc/channel_cell.h"
#include "ko/os/robust_list.h"

namespace ko {

// How a Channel lies in its shared memory: header, participants, cells. All zeros but for the first fields is an empty
// channel, so a page that no message has reached is never touched.

// One of the two sides, senders and receivers.
struct ChannelSide {
  os::RobustFutex bell;       // kAsleep while the one inside the turnstile sleeps, or is about to
  os::RobustFutex turnstile;  // in front of which the others of this side sleep
  // No position before this one is free (of senders), or holds a message (of receivers). May be too low at any time.
  alignas(128) std::atomic<uint64_t> hint;
  std::atomic<uint64_t> owner;  // see ChannelOwners

  // Of the bell. No thread's id stands there, so the kernel wakes the sleeper for a thread that dies having announced it.
  static constexpr uint32_t kAsleep = FUTEX_WAITERS;
};

// Whether the poll_fd is readable.
enum class PollState : uint32_t {
  kDrained = 0,  // no: a sender has to ring before it publishes
  kUnknown = 1,  // somebody is about to change that, or died there
  kRung = 2,     // yes
};

struct ChannelHeader {
  static constexpr uint64_t kMagic = 0x6368616e2d6b6f31;
  static constexpr uint32_t kVersion = 3;

  std::atomic<uint64_t> magic;
  std::atomic<uint32_t> version;
  std::atomic<uint32_t> participants;
  std::atomic<uint64_t> capacity;
  std::atomic<uint64_t> max_message_bytes;
  std::atomic<uint32_t> byte_strings;
  std::atomic<uint32_t> poll_state;  // a PollState; changed under poll_lock

  os::RobustFutex closed;  // 0, or kClosed; all sleepers sleep on this, too
  os::RobustFutex join_lock;
  os::RobustFutex poll_lock;
  ChannelSide senders;
  ChannelSide receivers;

  // No thread's id, see ChannelSide::kAsleep.
  static constexpr uint32_t kClosed = FUTEX_OWNER_DIED;
};

struct ChannelParticipant {
  // Held by the participating thread. The first waiting receiver sleeps on the one, the first waiting sender on the other, so
  // that a death wakes both: either of them may die as it wakes up.
  os::RobustFutex life;
  os::RobustFutex life_for_senders;
  // They name the thread while it takes a step as the owner of the senders' side, of the receivers' side.
  os::RobustFutex sends;
  os::RobustFutex receives;
  std::atomic<uint64_t> position;  // which it was about to claim last
  uint64_t unused[7];
};

// Sizes of a segment. Each process keeps its own copy, so none has to be believed from shared memory.
struct ChannelGeometry {
  // Errors: InvalidArgument for a capacity or message limit of 0 or beyond all reason.
  static absl::StatusOr<ChannelGeometry> Of(size_t capacity, size_t max_message_bytes, bool byte_strings,
                                            int max_participants);
  // Of a segment that somebody else has made. DataLoss where the header is none of a channel of this kind.
  static absl::StatusOr<ChannelGeometry> OfHeader(const ChannelHeader& header, size_t message_bytes,
                                                  bool byte_strings);

  // In a cell.
  static constexpr size_t PayloadOffset(bool byte_strings) {
    return byte_strings ? sizeof(ChannelCell) : offsetof(ChannelCell, first);
  }

  uint64_t capacity = 0;  // a power of two
  int capacity_bits = 0;
  uint32_t participants = 0;
  size_t max_message_bytes = 0;
  bool byte_strings = false;

  size_t cell_bytes = 0;
  size_t participants_offset = 0;
  size_t cells_offset = 0;
  size_t segment_bytes = 0;
};

// Where the parts of a segment stand in this process.
struct ChannelSegment {
  ChannelSegment(void* data, const ChannelGeometry& geometry);

  // For memory that is all zeros.
  void Initialize() const;

  uint64_t TurnOf(uint64_t position) const { return position >> geometry.capacity_bits; }
  ChannelCell& At(uint64_t position) const {
    return *reinterpret_cast<ChannelCell*>(cells +
                                           (position & (geometry.capacity - 1)) * geometry.cell_bytes);
  }
  char* PayloadOf(ChannelCell& cell) const { return PayloadOf(cell, geometry.byte_strings); }
  static char* PayloadOf(ChannelCell& cell, bool byte_strings) {
    return reinterpret_cast<char*>(&cell) + ChannelGeometry::PayloadOffset(byte_strings);
  }

  ChannelGeometry geometry;
  ChannelHeader* header;
  ChannelParticipant* participants;
  char* cells;
};

}  // namespace ko

#endif  // KO_IPC_CHANNEL_SEGMENT_H_
