#ifndef KO_IPC_CHANNEL_PAYLOAD_H_
#define KO_IPC_CHANNEL_PAYLOAD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/base/attributes.h"
#include "ko/ipc/channel_cell.h"
#include "ko/os/prefetch.h"

namespace ko {

// How messages get into the cells of a channel and out of them.
//
// Threads: as said of each. Fork, signals: none. Crash: the cell's state word does not call half a message one.

// Messages up to here are copied first and taken then, with one step; of larger ones a receiver claims the cell, so that
// several receivers do not copy the same one.
inline constexpr size_t kMaxUnclaimedBytes = 256;

// From a cell that another thread may be writing: then the copy is thrown away, and no race is formed.
inline void LoadUnclaimed(char* to, const void* from, size_t bytes) {
  const auto* words = static_cast<const std::atomic<uint64_t>*>(from);
  for (; bytes >= 8; bytes -= 8, to += 8) {
    const uint64_t word = (words++)->load(std::memory_order_relaxed);
    std::memcpy(to, &word, 8);
  }
  if (bytes == 0) return;
  const uint64_t word = words->load(std::memory_order_relaxed);
  std::memcpy(to, &word, bytes);
}

// Into a cell that others may be reading, as above. A larger message needs no care: only who has found a smaller one in this
// cell before may be reading, and will throw its copy away.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void StorePayload(void* to, const char* from, size_t bytes) {
  if (bytes > kMaxUnclaimedBytes) {
    std::memcpy(to, from, bytes);
    return;
  }
  auto* words = static_cast<std::atomic<uint64_t>*>(to);
  for (; bytes >= 8; bytes -= 8, from += 8) {
    uint64_t word;
    std::memcpy(&word, from, 8);
    (words++)->store(word, std::memory_order_relaxed);
  }
  if (bytes == 0) return;
  uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  words->store(word, std::memory_order_relaxed);
}

// For one who will write into the cells after this one soon. Without it each line comes twice from the other side, to be read
// and to be written. Nearer would be too late, and farther would take from the other side what it is working on. What lies
// after the last cell is no cell, which does no harm.
inline void PrefetchAfter(const ChannelCell& cell) {
  constexpr size_t kAhead = 128;
  os::PrefetchToWrite(reinterpret_cast<const char*>(&cell) + kAhead);
}

}  // namespace ko

#endif  // KO_IPC_CHANNEL_PAYLOAD_H_
