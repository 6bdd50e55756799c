#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>

#include "ko/ipc/channel.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/semaphore.h"
#include "ko/ipc/shared_memory.h"
#include "ko/manager/process_manager.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/mount_over.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"

// A whole tree of processes that use everything there is, killed at once. It runs where nobody else has objects: in mount
// and IPC namespaces of its own, with a /dev/shm of its own.

namespace ko {
namespace {

using testing::Gate;

// A manager with three children that work without end.
[[noreturn]] void RunTree(Gate& all_run) {
  SharedMemory memory = *SharedMemory::Create();
  Semaphore semaphore = *Semaphore::Create(2);
  Channel<std::string> channel = *Channel<std::string>::Create({.pollable = true});
  const std::unique_ptr<SharedJobQueue> queue = *SharedJobQueue::Create();
  ProcessManager manager;
  for (int i = 0; i < 3; ++i) {
    manager
        .Spawn([&](Self& self) {
          for (uint64_t turn = 0;; ++turn) {
            const absl::Status status = semaphore.LockExecute([&] {
              memory.Increment<int>("turns").IgnoreError();
              self["turn"] = turn;
              channel.TrySend("a message").IgnoreError();
              channel.TryReceive().IgnoreError();
              queue->Publish("a job").IgnoreError();
              if (absl::StatusOr<Job> job = queue->Receive(absl::ZeroDuration()); job.ok() && turn % 2 == 0) {
                job->Ack().IgnoreError();
              }
            });
            if (!status.ok()) ::_exit(1);
            if (turn == 10) self.NotifyReady();
          }
        })
        .WaitReady()
        .IgnoreError();
  }
  all_run.Open();
  manager.Wait().IgnoreError();
  ::_exit(1);
}

bool EnterNamespaces() { return ::unshare(CLONE_NEWIPC) == 0 && testing::MountOver("/dev/shm"); }

std::string ObjectsLeft() {
  std::string left;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
    left += entry.path().string() + "\n";
  for (const char* const kind : {"shm", "sem", "msg"}) {
    const std::string table = testing::ReadFile(std::string("/proc/sysvipc/") + kind);
    if (std::count(table.begin(), table.end(), '\n') != 1) left += table;  // more than its heading
  }
  return left;
}

class LeftoversTest : public testing::LeakCheckedTest {};

TEST_F(LeftoversTest, ATreeThatIsKilledLeavesNoObjectAndNoProcess) {
  const testing::InChildResult result = testing::InChild([]() -> std::string {
    if (!EnterNamespaces()) return "skip";
    testing::AdoptOrphans();
    Gate all_run;
    const pid_t tree = ::fork();
    if (tree == 0) RunTree(all_run);
    all_run.CloseOpener();
    EXPECT_TRUE(all_run.Pass());
    ::kill(tree, SIGKILL);
    int processes = 0;
    while (::waitpid(-1, nullptr, 0) > 0)
      ++processes;  // the children, who die with their manager, are adopted
    EXPECT_EQ(processes, 1 + 3);
    return ObjectsLeft();
  });
  EXPECT_TRUE(result.ok());
  if (result.value == "skip") GTEST_SKIP() << "namespaces of its own are not permitted here";
  EXPECT_EQ(result.value, "");
}

}  // namespace
}  // namespace ko
