#ifndef KO_PROCESS_FORK_SERVER_PROTOCOL_H_
#define KO_PROCESS_FORK_SERVER_PROTOCOL_H_

#include <sys/types.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <string_view>

#include "absl/types/span.h"
#include "ko/process/child_body.h"

// What a ForkServer's caller, its server process and its blank children say to each other.
//
//   server -> caller   ServerReply kReady     it has run its init and listens
//   caller -> server   BirthRequest kHeir     a blank child, please, with this socket
//                      BirthRequest kSpare    one when there is time
//                      BirthRequest kTask     one that runs the order that follows; with its arguments and descriptors
//   server -> caller   ServerReply kBorn      with its pidfd
//                      ServerReply kNotBorn   with the reason
//   caller -> blank    BlankOrder kRun        become a task; with its arguments and descriptors
//                      BlankOrder kServe      become the server
//
// All of them are sequenced packets: each arrives whole or not at all.

namespace ko {

// What runs in the child, made by ForkServer::Fork for its Function.
using PackedFunction = BodyResult (*)(std::string_view arguments, absl::Span<const int> fds);

inline constexpr uint32_t kMaxBirths = 64;  // at a time

// Said by the caller of a spare child that it cannot move to its group, and by the server where that cannot go there.
inline constexpr std::string_view kSessionHasChanged =
    "this process has changed its session since the server was started [EPERM]; Refresh it";

// In memory that the caller shares with its server: the pids of the children that are asked for and not yet told, written by
// the kernel, so that those of a server that is killed are known: the blank ones are ended, the tasks go on.
struct BirthTable {
  std::atomic<pid_t> pids[kMaxBirths];
  std::atomic<uint32_t> touched;  // by each server, so that the page is there when the kernel writes to it
};

struct BirthRequest {
  enum Kind : uint32_t { kHeir, kSpare, kTask };
  uint32_t birth = 0;        // the place in the table
  uint32_t report_page = 0;  // of the report file
  Kind kind = kHeir;
  pid_t group = 0;         // of a task: the process group in which it is born
  int32_t processor = -1;  // of a spare: where it is to sleep; -1: anywhere
};

struct ServerReply {
  enum Kind : uint32_t { kReady, kBorn, kNotBorn };
  Kind kind = kReady;
  uint32_t birth = 0;
  pid_t pid = 0;
  int32_t code = 0;  // of the absl::Status that tells why not
  char message[128] = {};
};

struct BlankOrder {
  enum Kind : uint32_t { kRun, kServe };
  Kind kind = kRun;
  uint32_t arguments_in_file = 0;  // the last descriptor; 0: they follow the order
  uint64_t arguments_bytes = 0;
  PackedFunction function = nullptr;
  sigset_t mask = {};
  uint32_t die_with_parent = 0;
};

// A message as it travels.
template <class Message>
std::string_view MessageBytes(const Message& message) {
  return {reinterpret_cast<const char*>(&message), sizeof message};
}

// Longer arguments travel in a file in memory, so that nobody waits for anybody to read them.
inline constexpr size_t kMaxInlineBytes = 16 << 10;

}  // namespace ko

#endif  // KO_PROCESS_FORK_SERVER_PROTOCOL_H_
