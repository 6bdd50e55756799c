#ifndef KO_POOL_POOL_SUPERVISOR_H_
#define KO_POOL_POOL_SUPERVISOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/os/epoll.h"
#include "ko/os/event_fd.h"
#include "ko/os/unique_fd.h"
#include "ko/pool/pool_segment.h"
#include "ko/pool/task_queue.h"
#include "ko/process/child.h"

namespace ko::pool {

// The process between the one that has the pool and its workers. It forks the workers, notices their deaths by pidfd, says
// what became of their tasks and forks others; it ends workers whose task is cancelled or overdue. It has one thread and is as
// small as the program was when the pool was made, so it may fork whatever its parent has become since.
//
// Threads: one, a process of its own.
// Fork: what the pool forks first.
// Signals: those of the terminal are left to the parent.
// Crash: the workers die with it, and it goes when its parent dies.
// Errors: see Run.
class PoolSupervisor {
 public:
  struct Setting {
    std::shared_ptr<const PoolSegment> segment;
    os::EventFd* bell;     // rung by whoever wants something
    os::EventFd* started;  // rung when the workers have been forked
    int parent;            // pidfd
    size_t tasks_per_worker;
  };
  explicit PoolSupervisor(const Setting& setting);

  // Until it is told to finish or stop and the last worker has ended, or the parent has died. Errors: those of Fork, where
  // the first workers cannot be forked; of epoll.
  absl::Status Run();

 private:
  struct Worker {
    std::optional<Child> child;
    absl::Duration restart_at = absl::InfiniteDuration();  // while there is none
    int deaths_in_a_row = 0;                               // without a task taken
  };

  absl::Status Start(uint32_t index);
  void StartLate();
  // Returns after the next thing has happened. False where the parent has died.
  absl::StatusOr<bool> Await();
  void Bury(uint32_t index, const ExitStatus& status);
  void BuryTask(uint32_t task, uint32_t worker, const ExitStatus& status);
  void EndOverdue();
  void KillAll();
  bool HasWorkers() const;
  PoolOrder order() const;

  const Setting setting_;
  const std::shared_ptr<const PoolSegment> segment_;
  TaskQueue queue_;
  std::optional<os::Epoll> epoll_;
  std::vector<Worker> workers_;
  int64_t next_look_ns_;  // when the next item is overdue
  int untouched_in_a_row_ = 0;
};

}  // namespace ko::pool

#endif  // KO_POOL_POOL_SUPERVISOR_H_
