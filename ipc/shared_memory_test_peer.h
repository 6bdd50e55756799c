#ifndef KO_IPC_SHARED_MEMORY_TEST_PEER_H_
#define KO_IPC_SHARED_MEMORY_TEST_PEER_H_

#include "ko/ipc/memory_segment.h"
#include "ko/ipc/shared_memory.h"

namespace ko {

// Tests' way into a memory, to damage it.
class SharedMemoryTestPeer {
 public:
  static const MemorySegment& Segment(const SharedMemory& memory) { return memory.map_->segment(); }
};

}  // namespace ko

#endif  // KO_IPC_SHARED_MEMORY_TEST_PEER_H_
