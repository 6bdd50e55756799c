#ifndef KO_IPC_CHANNEL_TEST_PEER_H_
#define KO_IPC_CHANNEL_TEST_PEER_H_

#include "ko/ipc/channel.h"
#include "ko/ipc/channel_core.h"
#include "ko/ipc/channel_segment.h"

namespace ko {

// Lets a test look into the shared memory of a channel without using the channel, and change it.
class ChannelTestPeer {
 public:
  static const ChannelSegment& Segment(const ChannelBase& channel) { return channel.core_->segment(); }
};

}  // namespace ko

#endif  // KO_IPC_CHANNEL_TEST_PEER_H_
