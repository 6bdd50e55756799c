#ifndef KO_IPC_SEMAPHORE_TEST_PEER_H_
#define KO_IPC_SEMAPHORE_TEST_PEER_H_

#include "ko/ipc/semaphore.h"
#include "ko/ipc/semaphore_words.h"
#include "ko/os/shared_mapping.h"

namespace ko {

// Lets tests overwrite a Semaphore's memory.
class SemaphoreTestPeer {
 public:
  static os::SharedMapping& Mapping(Semaphore& semaphore) { return semaphore.words_->mapping_; }
};

}  // namespace ko

#endif  // KO_IPC_SEMAPHORE_TEST_PEER_H_
