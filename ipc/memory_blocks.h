#ifndef KO_IPC_MEMORY_BLOCKS_H_
#define KO_IPC_MEMORY_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/ipc/memory_segment.h"

namespace ko {

// Chains of blocks: taking them, giving them back, and the bytes in them.
//
// Threads: Take, Give and Rebuild under the lock; Read and Equal by readers too, who then look whether what they have read
// was still in use. Fork: none. Signals: none.
// Crash: which blocks are free is derived, see Rebuild.
// Errors: DataLoss where a link leads nowhere.
class MemoryBlocks {
 public:
  explicit MemoryBlocks(const MemorySegment& segment) : segment_(segment), header_(*segment.header) {}

  static uint32_t CountFor(size_t bytes) {
    return static_cast<uint32_t>((bytes + kMemoryBlockBytes - 1) / kMemoryBlockBytes);
  }
  uint32_t free() const;

  // A chain of `count` blocks, of which there are as many free; 0 for none.
  absl::StatusOr<uint32_t> Take(uint32_t count);
  // Takes a chain back.
  absl::Status Give(uint32_t first, uint32_t count);
  // All that are not used are free: from now on and in the order of their numbers.
  void Rebuild(const std::vector<bool>& used);

  // Into a chain that nobody reads yet, or only readers that will find out.
  void Write(uint32_t first, std::string_view bytes);
  // False where a link leads nowhere.
  bool Read(uint32_t first, char* bytes, size_t count) const;
  bool Equal(uint32_t first, std::string_view bytes) const;

 private:
  template <class Visit>
  bool ForEachBlock(uint32_t first, size_t bytes, Visit visit) const;

  const MemorySegment& segment_;
  MemoryHeader& header_;
};

}  // namespace ko

#endif  // KO_IPC_MEMORY_BLOCKS_H_
