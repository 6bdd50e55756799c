// Sends itself a message through shared memory.
#include <iostream>

#include "absl/status/statusor.h"
#include "ko/ipc/channel.h"

int main() {
  absl::StatusOr<ko::Channel<int>> channel = ko::Channel<int>::Create();
  if (!channel.ok()) {
    std::cerr << channel.status() << "\n";
    return 1;
  }
  if (const absl::Status sent = channel->Send(42); !sent.ok()) {
    std::cerr << sent << "\n";
    return 1;
  }
  const absl::StatusOr<int> received = channel->Receive();
  if (!received.ok() || *received != 42) {
    std::cerr << "the message has not come\n";
    return 1;
  }
  std::cout << "received " << *received << "\n";
}
