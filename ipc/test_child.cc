#include "ko/ipc/test_child.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <utility>

namespace ko {

TestChild::TestChild(absl::FunctionRef<int()> body) : pid_(::fork()) {
  if (pid_ < 0) std::abort();
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::_exit(body());
}

TestChild::TestChild(TestChild&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}

TestChild& TestChild::operator=(TestChild&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}

TestChild::~TestChild() {
  if (pid_ != 0) KillAndWait();
}

void TestChild::Kill() const {
  if (pid_ == 0) std::abort();  // kill(2) would take it for this process's group
  ::kill(pid_, SIGKILL);
}

int TestChild::Wait() {
  int status = 0;
  while (::waitpid(std::exchange(pid_, 0), &status, 0) == -1) std::abort();
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int TestChild::KillAndWait() {
  Kill();
  return Wait();
}

void AwaitSleepingReceivers(const JobQueue& queue, size_t count) {
  while (queue.Stats()->sleeping_receivers != count) ::sched_yield();
}

void AwaitSleepingPublishers(const JobQueue& queue, size_t count) {
  while (queue.Stats()->sleeping_publishers != count) ::sched_yield();
}

}  // namespace ko
