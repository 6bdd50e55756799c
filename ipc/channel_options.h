#ifndef KO_IPC_CHANNEL_OPTIONS_H_
#define KO_IPC_CHANNEL_OPTIONS_H_

#include <cstddef>
#include <string>

namespace ko {

struct ChannelOptions {
  size_t capacity = 1024;               // messages, at least: it is rounded up to a power of two
  size_t max_message_bytes = 64 << 10;  // of byte strings; a channel of T has messages of sizeof(T)
  int max_participants = 1024;          // threads that use it at the same time
  bool pollable = false;                // whether it has a poll_fd
  std::string name = {};                // of a named one, see os/named_mapping.h
};

}  // namespace ko

#endif  // KO_IPC_CHANNEL_OPTIONS_H_
