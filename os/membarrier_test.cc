#include "ko/os/membarrier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "ko/os/relax.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

TEST(MembarrierTest, OfTwoStoresOneIsSeen) {
  if (!AcceptBarriers()) GTEST_SKIP() << "no membarrier(2)";
  constexpr int kRounds = 3000;
  struct alignas(128) Word {
    std::atomic<int> value = 0;
  };
  Word often, rarely, round, seen_by_often, done;
  std::thread thread([&] {
    for (int i = 1; i <= kRounds; ++i) {
      while (round.value.load(std::memory_order_acquire) != i) std::this_thread::yield();
      often.value.store(i, kRelaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      seen_by_often.value.store(rarely.value.load(kRelaxed), kRelaxed);
      done.value.store(i, std::memory_order_release);
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    round.value.store(i, std::memory_order_release);
    for (int pause = i % 60; pause > 0; --pause) Relax();
    rarely.value.store(i, kRelaxed);
    EXPECT_THAT(BarrierForAll(), testing::IsOk());
    const int seen = often.value.load(kRelaxed);
    while (done.value.load(std::memory_order_acquire) != i) std::this_thread::yield();
    EXPECT_TRUE(seen == i || seen_by_often.value.load(kRelaxed) == i) << i;
  }
  thread.join();
}

}  // namespace
}  // namespace ko::os
