#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "ko/ipc/channel.h"
#include "ko/ipc/channel_segment.h"
#include "ko/ipc/channel_test_peer.h"
#include "ko/ipc/fuzz_damage.h"
#include "ko/os/robust_list.h"

// Each call there is that does not wait, on a channel that somebody has overwritten: messages or statuses.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMaxMessageBytes = 200;
  absl::StatusOr<ko::Channel<std::string>> channel = ko::Channel<std::string>::Create(
      {.capacity = 4, .max_message_bytes = kMaxMessageBytes, .max_participants = 4});
  if (!channel.ok()) std::abort();
  channel->Send("first").IgnoreError();
  channel->Send(std::string(kMaxMessageBytes, 'x')).IgnoreError();
  const ko::ChannelSegment& segment = ko::ChannelTestPeer::Segment(*channel);
  ko::Damage(segment.header, segment.geometry.segment_bytes,
             {{offsetof(ko::ChannelHeader, join_lock), sizeof(ko::os::RobustFutex)},
              {offsetof(ko::ChannelHeader, poll_lock), sizeof(ko::os::RobustFutex)}},
             data, size);
  for (int i = 0; i < 8; ++i) {
    channel->TrySend(std::string(size % (kMaxMessageBytes + 1), 'y')).IgnoreError();
    const absl::StatusOr<std::string> message = channel->TryReceive();
    if (message.ok() && message->size() > kMaxMessageBytes) std::abort();
    if (channel->size() > channel->capacity()) std::abort();
  }
  channel->poll_fd().status().IgnoreError();
  channel->Close().IgnoreError();
  return 0;
}
