#include "ko/process/forked_child.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/base/config.h"
#include "ko/os/child_code.h"
#include "ko/os/signal_mask.h"
#include "ko/process/exception_status.h"
#include "ko/process/flush_output.h"

namespace ko {
namespace {

constexpr int kStartFailedCode = 127;

template <class Run>
KO_CHILD_CODE BodyResult Guarded(Run run) {
#ifdef ABSL_HAVE_EXCEPTIONS
  try {
    return run();
  } catch (...) {
    return BodyResult::FromStatus(StatusOfCurrentException());
  }
#else
  return run();
#endif
}

}  // namespace

// exit() runs what was registered with atexit in reverse order, so this one, the first of the child's own, comes after the
// child's others and before the parent's, and ends the process there.
KO_CHILD_CODE void ForkedChild::LeaveParentsExitHandlersAlone() {
  const auto leave = [](int code, void*) {
    FlushOutput();
    ::_exit(code);
  };
  if (::on_exit(leave, nullptr) != 0) FailStart("on_exit", ENOMEM);
}

KO_CHILD_CODE void ForkedChild::Live(Task& task) {
  DieWithParent(task);
  if (task.hooks != nullptr) task.hooks->FinishInChild();
  SetUp(task);
  os::RestoreSignalMask(task.mask);
  End(RunBody(task));
}

KO_CHILD_CODE void ForkedChild::DieWithParent(const Task& task) {
  if (!task.die_with_parent) return;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) FailStart("prctl(PR_SET_PDEATHSIG)", errno);
  if (::getppid() != task.parent) ::_exit(kStartFailedCode);  // it died before the line above
}

KO_CHILD_CODE void ForkedChild::SetUp(Task& task) {
  if (task.setup == nullptr) return;
  const BodyResult result = Guarded([&task] { return BodyResult::FromStatus(task.setup()); });
  if (!result.reason.ok()) End(result);
}

KO_CHILD_CODE BodyResult ForkedChild::RunBody(Task& task) {
  return Guarded([&task] {
    // What it captured is destroyed as it ends: a file stream, say, is flushed.
    ChildBody body = std::move(task.body);
    return body();
  });
}

void ForkedChild::FailStart(const char* stage, int error_number) {
  report_.StartFailed(stage, error_number);
  Tell();
  ::_exit(kStartFailedCode);
}

KO_CHILD_CODE void ForkedChild::End(const BodyResult& result) {
  // A process that the body has forked by itself comes here, too; it has no report.
  if (!result.reason.ok() && pid_ == ::getpid()) {
    report_.BodyFailed(result.reason);
    Tell();
  }
  FlushOutput();
  ::_exit(result.exit_code);
}

void ForkedChild::Tell() {
  if (told_ != nullptr) told_->store(1, std::memory_order_release);  // pairs with ReportSlot
}

}  // namespace ko
