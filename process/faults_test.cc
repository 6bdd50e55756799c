#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"
#include "ko/process/daemonize.h"
#include "ko/process/exec.h"
#include "ko/process/fork.h"
#include "ko/process/fork_server.h"
#include "ko/process/init.h"
#include "ko/process/listen.h"
#include "ko/process/notify_listener.h"
#include "ko/process/output_drain.h"
#include "ko/process/service_notifier.h"
#include "ko/process/test_end.h"
#include "ko/testing/fault_sweep.h"
#include "ko/testing/leaks.h"
#include "ko/testing/short_folder.h"
#include "ko/testing/temp_dir.h"

// Each system call of what the module does fails in turn with each errno: the operation says so or does its work all the
// same, leaves nothing, and can be done again.

namespace ko {
namespace {

using testing::FaultRound;
using testing::SweepFaults;

class ProcessFaultsTest : public testing::LeakCheckedTest {};

TEST_F(ProcessFaultsTest, ForkAndWait) {
  const auto count =
      SweepFaults("Fork, Wait", [](FaultRound& round) { round.Try([] { return EndOf(Fork([] {})); }); });
  EXPECT_GT(count.injected, 8);
}

TEST_F(ProcessFaultsTest, ForkWhereTheKernelReaps) {
  SweepFaults("Fork behind a gate", [](FaultRound& round) {
    ::signal(SIGCHLD, SIG_IGN);
    round.Try([] { return Fork([] {}).status(); });
  });
}

TEST_F(ProcessFaultsTest, WaitWithALimit) {
  SweepFaults("Wait with a limit, Stop", [](FaultRound& round) {
    round.Try([] {
      absl::StatusOr<Child> child = Fork([] { ::pause(); });
      if (!child.ok()) return child.status();
      const absl::StatusOr<ExitStatus> not_yet = child->Wait(absl::Milliseconds(1));
      if (!absl::IsDeadlineExceeded(not_yet.status())) return not_yet.status();
      return child->Stop().status();
    });
  });
}

TEST_F(ProcessFaultsTest, FailedBody) {
  const auto count = SweepFaults("Fork of a body that fails", [](FaultRound& round) {
    round.Try([] {
      const absl::Status end = EndOf(Fork([] { return absl::DataLossError("as it should"); }));
      return absl::IsDataLoss(end) ? absl::OkStatus() : end;
    });
  });
  EXPECT_GT(count.injected, 8);
}

TEST_F(ProcessFaultsTest, Exec) {
  const auto count = SweepFaults(
      "Exec", [](FaultRound& round) { round.Try([] { return EndOf(Exec({.argv = {"/bin/true"}})); }); });
  EXPECT_GT(count.injected, 8);
}

TEST_F(ProcessFaultsTest, ExecWithAllThatACommandCanHave) {
  SweepFaults("Exec of a command with everything", [](FaultRound& round) {
    const testing::TempDir folder;
    const os::UniqueFd socket = *Listen("127.0.0.1:0");
    Command command = {.argv = {"/bin/true"}, .cwd = folder.path()};
    command.stdin_from = Stdio::Null();
    command.stdout_to = Stdio::Pipe();
    command.stderr_to = Stdio::AppendToFile(folder.path() + "/log");
    command.limits = {{RLIMIT_CORE, rlimit{0, 0}}};
    command.umask = 077;
    command.new_session = true;
    command.nice = 19;  // what any process may have
    command.cpus = {0};
    command.no_new_privs = true;
    command.fds = {InheritedFd{.fd = socket.get(), .variable = "SOCKET"}};
    command.listen_fds = {ListenFd{.fd = socket.get(), .name = "http"}};
    round.Try([&command] { return EndOf(Exec(command)); });
  });
}

TEST_F(ProcessFaultsTest, OutputOfACommand) {
  SweepFaults("OutputDrain", [](FaultRound& round) {
    round.Try([] {
      Command command = {.argv = {"/bin/echo", "hello"}};
      command.stdout_to = Stdio::Pipe();
      absl::StatusOr<Child> child = Exec(command);
      if (!child.ok()) return child.status();
      if (absl::Status end = EndOf(child->Wait()); !end.ok()) return end;
      absl::StatusOr<OutputDrain> drain = OutputDrain::Create(child->TakeStdout());
      if (!drain.ok()) return drain.status();
      OutputTail tail(100);
      const absl::StatusOr<OutputDrain::State> state = drain->Drain(tail);
      if (!state.ok()) return state.status();
      return tail.Text() == "hello\n" ? absl::OkStatus() : absl::DataLossError(tail.Text());
    });
  });
}

int Double(int number) { return 2 * number; }

TEST_F(ProcessFaultsTest, StartOfAForkServer) {
  const auto count = SweepFaults("ForkServer::Start", [](FaultRound& round) {
    round.Try([] { return ForkServer::Start({.spares = 0}).status(); });
  });
  EXPECT_GT(count.injected, 20);
}

TEST_F(ProcessFaultsTest, ForkOfAForkServer) {
  const auto count = SweepFaults("ForkServer::Fork", [](FaultRound& round) {
    round.Try([] {
      absl::StatusOr<ForkServer> server = ForkServer::Start({.spares = 0});
      if (!server.ok()) return server.status();
      return EndOf(server->Fork<Double>(0));
    });
  });
  EXPECT_GT(count.injected, 30);
}

TEST_F(ProcessFaultsTest, Spares) {
  SweepFaults("ForkServer::Fork with a spare", [](FaultRound& round) {
    round.Try([] {
      absl::StatusOr<ForkServer> server = ForkServer::Start({.spares = 1});
      if (!server.ok()) return server.status();
      return EndOf(server->Fork<Double>(0));
    });
  });
}

// Until no daemon has the lock of its pid file.
void AwaitUnlocked(const os::UniqueFd& pid_file) {
  struct flock lock = {};
  for (const short type : {F_WRLCK, F_UNLCK}) {
    lock.l_type = type;
    EXPECT_EQ(os::RetryEintr([&] { return ::fcntl(pid_file.get(), F_SETLKW, &lock); }), 0);
  }
}

// The launching command, a child here, exits with 0 when the daemon says that it is ready.
TEST_F(ProcessFaultsTest, Daemonize) {
  const auto count = SweepFaults("Daemonize", [](FaultRound& round) {
    const testing::TempDir folder;
    const os::UniqueFd pid_file(::open(folder.File("pid").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    round.Try([&]() -> absl::Status {
      const pid_t launcher = ::fork();
      if (launcher < 0) return os::ErrnoStatus(errno, "fork");
      if (launcher == 0) {
        absl::StatusOr<DaemonLaunch> launch =
            Daemonize({.log_file = folder.File("log"), .pid_file = folder.File("pid")});
        ::_exit(launch.ok() && launch->Ready().ok() ? 0 : 1);
      }
      int status = 0;
      os::RetryEintr([&] { return ::waitpid(launcher, &status, 0); });
      AwaitUnlocked(pid_file);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
      return absl::AbortedError(absl::StrCat("the launching command ended with ", status));
    });
  });
  EXPECT_GT(count.injected, 30);
}

TEST_F(ProcessFaultsTest, Listen) {
  SweepFaults("Listen", [](FaultRound& round) { round.Try([] { return Listen("127.0.0.1:0").status(); }); });
  SweepFaults("Listen at a path", [](FaultRound& round) {
    const testing::ShortFolder folder;
    const std::string address = folder.File("socket");
    round.Try([&address] { return Listen(address).status(); });
  });
}

TEST_F(ProcessFaultsTest, Notifier) {
  SweepFaults("ServiceNotifier", [](FaultRound& round) {
    const absl::StatusOr<NotifyListener> listener = NotifyListener::Create();
    ASSERT_TRUE(listener.ok());
    ::setenv("NOTIFY_SOCKET", listener->address().c_str(), 1);
    round.Try([] {
      absl::StatusOr<ServiceNotifier> notifier =
          ServiceNotifier::FromEnvironment(ServiceNotifier::Environment::kKeep);
      return notifier.ok() ? notifier->Ready() : notifier.status();
    });
  });
}

TEST_F(ProcessFaultsTest, Init) {
  SweepFaults("RunAsInit", [](FaultRound& round) { round.Try([] { return EndOf(RunAsInit([] {})); }); });
}

}  // namespace
}  // namespace ko
