#ifndef KO_IPC_CHANNEL_CELL_H_
#define KO_IPC_CHANNEL_CELL_H_

#include <atomic>
#include <cstdint>

namespace ko {

// One place of a channel's ring. Positions in the channel count from 0; position p stands in cell p % capacity in the
// cell's turn p / capacity. A cell's state word is the whole truth about it:
//
//   kEmpty, turn t      free for position (t, cell); every earlier turn is over
//   kWriting, turn t    claimed by a sender, which is filling it
//   kFull, turn t       holds a message
//   kReading, turn t    claimed by a receiver, which is copying a large message
//
// and from there kEmpty of turn t + 1. A claimed cell names its owner's participant slot; the owner alone touches the
// payload for as long as it lives. One that is kWriting for nobody will never be filled: a sender died, or took its
// claim back. Whoever receives in order passes over it. Zeros are an empty cell in its first turn.
enum class CellState : uint64_t { kEmpty = 0, kWriting = 1, kFull = 2, kReading = 3 };

// From the lowest bit: 2 bits of state, 42 of the turn, 20 of the owner.
inline constexpr int kTurnBits = 42;
inline constexpr uint64_t kTurnMask = (uint64_t{1} << kTurnBits) - 1;
inline constexpr int kOwnerShift = 2 + kTurnBits;
inline constexpr uint32_t kNobody = (uint32_t{1} << (64 - kOwnerShift)) - 1;

constexpr uint64_t PackCell(CellState state, uint64_t turn, uint32_t owner = 0) {
  return static_cast<uint64_t>(owner) << kOwnerShift | (turn & kTurnMask) << 2 | static_cast<uint64_t>(state);
}
constexpr CellState CellStateOf(uint64_t word) { return static_cast<CellState>(word & 3); }
constexpr uint64_t CellTurnOf(uint64_t word) { return word >> 2 & kTurnMask; }
constexpr uint32_t CellOwnerOf(uint64_t word) { return static_cast<uint32_t>(word >> kOwnerShift); }

// How many turns `word` is ahead of `turn`; negative where it is behind.
constexpr int64_t TurnsAhead(uint64_t word, uint64_t turn) {
  constexpr int kUnused = 64 - kTurnBits;
  return static_cast<int64_t>((CellTurnOf(word) - turn) << kUnused) >> kUnused;
}

struct ChannelCell {
  std::atomic<uint64_t> state;
  std::atomic<uint64_t>
      first;  // the payload's first 8 bytes, or the number of bytes of a byte string before them
};

}  // namespace ko

#endif  // KO_IPC_CHANNEL_CELL_H_
