#ifndef KO_IPC_TEST_CHILD_H_
#define KO_IPC_TEST_CHILD_H_

#include <sys/types.h>

#include "absl/functional/function_ref.h"
#include "ko/ipc/job_queue.h"

namespace ko {

// A forked child of a test, beside the test: it runs `body`, whose result is its exit code, and is killed and
// reaped by the destructor at the latest. It dies with the test.
class TestChild {
 public:
  explicit TestChild(absl::FunctionRef<int()> body);
  TestChild(TestChild&& other) noexcept;
  TestChild& operator=(TestChild&& other) noexcept;
  ~TestChild();

  pid_t pid() const { return pid_; }
  void Kill() const;  // SIGKILL, which takes effect some time later
  int Wait();         // the exit code, or minus the signal
  int KillAndWait();

 private:
  pid_t pid_;
};

// Waits until so many are inside a Receive or a Publish that found nothing.
void AwaitSleepingReceivers(const JobQueue& queue, size_t count);
void AwaitSleepingPublishers(const JobQueue& queue, size_t count);

}  // namespace ko

#endif  // KO_IPC_TEST_CHILD_H_
