#ifndef KO_IPC_CHANNEL_TEST_WRITER_H_
#define KO_IPC_CHANNEL_TEST_WRITER_H_

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <string>

#include "ko/ipc/channel.h"
#include "ko/ipc/channel_segment.h"
#include "ko/ipc/channel_test_peer.h"
#include "ko/ipc/test_child.h"
#include "ko/os/robust_list.h"
#include "ko/testing/gate.h"
#include "ko/testing/process_state.h"

namespace ko {

// For tests of deaths: a child that sends `messages`, claims the next position as a sender, and waits to be killed.
inline TestChild DiesWriting(Channel<std::string>& channel, int messages, testing::Gate& ready) {
  return TestChild([&] {
    // Becomes a participant.
    if (!channel.Send("").ok() || !channel.Receive().ok()) return 1;
    for (int i = 0; i < messages; ++i) {
      if (!channel.Send("before").ok()) return 1;
    }
    ChannelTestPeer::ClaimNextAsSender(channel);
    ready.Open();
    ::pause();
    return 0;
  });
}

// Waits until the process is its side's first waiter, and sleeps.
inline void AwaitAsleep(const ChannelSide& side, pid_t pid) {
  while (side.bell.word.load() != ChannelSide::kAsleep ||
         static_cast<pid_t>(side.turnstile.word.load() & FUTEX_TID_MASK) != pid) {
    ::sched_yield();
  }
  ASSERT_TRUE(testing::AwaitState(pid, 'S'));
}

}  // namespace ko

#endif  // KO_IPC_CHANNEL_TEST_WRITER_H_
