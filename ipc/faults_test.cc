#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "ko/ipc/channel.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/semaphore.h"
#include "ko/ipc/shared_memory.h"
#include "ko/ipc/test_child.h"
#include "ko/testing/fault_sweep.h"
#include "ko/testing/gate.h"
#include "ko/testing/leaks.h"
#include "ko/testing/unique_name.h"

// Each system call of what the module does fails in turn with each errno: the operation says so or does its work all the
// same, leaves nothing, no lock and no file either, and can be done again.

namespace ko {
namespace {

using testing::FaultRound;
using testing::SweepFaults;

constexpr absl::Duration kMoment = absl::Milliseconds(1);

class IpcFaultsTest : public testing::LeakCheckedTest {};

// A wait that has to come to its limit.
absl::Status TimedOut(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) ? absl::OkStatus() : status;
}

// Makes the object under a name, opens it once more and takes the name away again, which no fault may leave behind.
template <class Object, class Create>
void SweepNamed(const std::string& what, Create create) {
  const std::string name = testing::UniqueName("faults");
  SweepFaults(what, [&](FaultRound& round) {
    round.Try([&] {
      absl::StatusOr<Object> object = create(name);
      if (!object.ok()) return object.status();
      absl::Status opened = Object::Open(name).status();
      absl::Status unlinked = Object::Unlink(name);
      if (!unlinked.ok()) Object::Unlink(name).IgnoreError();
      return opened.ok() ? unlinked : opened;
    });
  });
}

TEST_F(IpcFaultsTest, SemaphoreAndItsName) {
  const auto count = SweepFaults("Semaphore::Create", [](FaultRound& round) {
    round.Try([] { return Semaphore::Create(3).status(); });
  });
  EXPECT_GT(count.injected, 0);
  SweepNamed<Semaphore>("Semaphore with a name",
                        [](const std::string& name) { return Semaphore::Create(3, {.name = name}); });
}

TEST_F(IpcFaultsTest, SemaphoreIsWaitedFor) {
  const auto count = SweepFaults("Semaphore::Acquire", [](FaultRound& round) {
    Semaphore semaphore = *Semaphore::Create(1);
    testing::Gate acquired;
    TestChild holder([&] {
      if (!semaphore.Acquire().ok()) return 1;
      acquired.Open();
      return ::pause();
    });
    ASSERT_TRUE(acquired.Pass());
    round.Try([&] { return TimedOut(semaphore.Acquire(kMoment)); });
    holder.KillAndWait();
    EXPECT_TRUE(semaphore.TryAcquire());
  });
  EXPECT_GT(count.injected, 0);
}

TEST_F(IpcFaultsTest, SharedMemoryAndItsName) {
  const auto count = SweepFaults("SharedMemory::Create", [](FaultRound& round) {
    round.Try([] { return SharedMemory::Create().status(); });
  });
  EXPECT_GT(count.injected, 0);
  SweepNamed<SharedMemory>("SharedMemory with a name", [](const std::string& name) {
    return SharedMemory::Create(64 << 10, {.name = name});
  });
}

TEST_F(IpcFaultsTest, SharedMemoryIsWrittenAndRead) {
  SweepFaults("SharedMemory::Set, Get, Increment, Erase", [](FaultRound& round) {
    SharedMemory memory = *SharedMemory::Create();
    round.Try([&]() -> absl::Status {
      if (absl::Status set = memory.Set("text", std::string(1000, 'x')); !set.ok()) return set;
      if (absl::Status got = memory.Get<std::string>("text").status(); !got.ok()) return got;
      if (absl::Status added = memory.Increment<int64_t>("count").status(); !added.ok()) return added;
      return memory.Erase("text");
    });
    EXPECT_TRUE(memory.Set("text", "still good").ok());
  });
}

TEST_F(IpcFaultsTest, ChannelAndItsName) {
  const auto count = SweepFaults("Channel::Create", [](FaultRound& round) {
    round.Try([] { return Channel<int>::Create().status(); });
  });
  EXPECT_GT(count.injected, 0);
  SweepNamed<Channel<int>>("Channel with a name",
                           [](const std::string& name) { return Channel<int>::Create({.name = name}); });
}

TEST_F(IpcFaultsTest, ChannelSendsAndReceives) {
  const auto count = SweepFaults("Channel::Send, Receive", [](FaultRound& round) {
    absl::StatusOr<Channel<std::string>> channel = Channel<std::string>::Create();
    round.Try([&]() -> absl::Status {
      if (absl::Status sent = channel->Send("a message"); !sent.ok()) return sent;
      if (absl::Status received = channel->Receive().status(); !received.ok()) return received;
      return TimedOut(channel->Receive(kMoment).status());
    });
    EXPECT_EQ(channel->size(), 0u);
  });
  EXPECT_GT(count.injected, 0);
}

TEST_F(IpcFaultsTest, ChannelIsWatched) {
  SweepFaults("Channel::poll_fd", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      absl::StatusOr<Channel<int>> channel = Channel<int>::Create({.pollable = true});
      if (!channel.ok()) return channel.status();
      if (absl::Status watched = channel->poll_fd().status(); !watched.ok()) return watched;
      if (absl::Status sent = channel->Send(1); !sent.ok()) return sent;
      return channel->Receive().status();
    });
  });
}

TEST_F(IpcFaultsTest, JobQueue) {
  const auto count = SweepFaults("SharedJobQueue::Create", [](FaultRound& round) {
    round.Try([] { return SharedJobQueue::Create().status(); });
  });
  EXPECT_GT(count.injected, 0);
  SweepFaults("SharedJobQueue::Publish, Receive, Ack", [](FaultRound& round) {
    const std::unique_ptr<SharedJobQueue> queue = *SharedJobQueue::Create();
    round.Try([&]() -> absl::Status {
      if (absl::Status published = queue->Publish("a job"); !published.ok()) return published;
      absl::StatusOr<Job> job = queue->Receive();
      if (!job.ok()) return job.status();
      if (absl::Status done = job->Ack(); !done.ok()) return done;
      return TimedOut(queue->Receive(kMoment).status());
    });
    EXPECT_EQ(queue->Stats()->ready, 0u);
    EXPECT_EQ(queue->Stats()->leased, 0u);
  });
}

}  // namespace
}  // namespace ko
