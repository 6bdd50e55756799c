#ifndef KO_IPC_FUZZ_DAMAGE_H_
#define KO_IPC_FUZZ_DAMAGE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace ko {

struct ByteRange {
  size_t offset;
  size_t bytes;
};

// Overwrites a live segment as a fuzzer's input says: each three bytes are an offset and a value. The ranges of `spared` stay
// as they are: a lock whose word names a living thread cannot be told from one that is held, and is waited for.
inline void Damage(void* segment, size_t segment_bytes, std::initializer_list<ByteRange> spared,
                   const uint8_t* data, size_t size) {
  auto* const bytes = static_cast<std::atomic<uint8_t>*>(segment);
  for (size_t i = 0; i + 3 <= size; i += 3) {
    const size_t offset = (size_t{data[i]} | size_t{data[i + 1]} << 8) % segment_bytes;
    bool is_spared = false;
    for (const ByteRange& range : spared) {
      is_spared |= offset >= range.offset && offset < range.offset + range.bytes;
    }
    if (!is_spared) bytes[offset].store(data[i + 2], std::memory_order_relaxed);
  }
}

}  // namespace ko

#endif  // KO_IPC_FUZZ_DAMAGE_H_
