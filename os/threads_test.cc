#include "ko/os/threads.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <future>
#include <thread>

#include "ko/testing/in_child.h"
#include "ko/testing/rounds.h"

namespace ko::os {
namespace {

TEST(HasOtherThreads, FalseInAProgramWithoutThreads) { EXPECT_FALSE(HasOtherThreads()); }

TEST(HasOtherThreads, TrueWhileAnotherLives) {
  std::promise<void> may_end;
  std::thread other([&may_end] { may_end.get_future().wait(); });
  EXPECT_TRUE(HasOtherThreads());
  may_end.set_value();
  other.join();
}

// pthread_join returns before the kernel has taken the thread off its lists.
TEST(HasOtherThreads, FalseAsSoonAsTheLastIsJoined) {
  for (int i = 0; i < testing::Rounds(5000); ++i) {
    std::thread([] {}).join();
    ASSERT_FALSE(HasOtherThreads()) << "in round " << i;
  }
}

TEST(HasOtherThreads, FalseInTheForkedChildOfAThreadedProgram) {
  std::promise<void> may_end;
  std::thread other([&may_end] { may_end.get_future().wait(); });
  testing::InChild([] { EXPECT_FALSE(HasOtherThreads()); });
  may_end.set_value();
  other.join();
}

TEST(HasOtherThreads, TrueInAnotherThanTheMainThread) {
  bool answer = false;
  std::thread([&answer] { answer = HasOtherThreads(); }).join();
  EXPECT_TRUE(answer);
}

}  // namespace
}  // namespace ko::os
