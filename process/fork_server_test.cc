#include "ko/process/fork_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "ko/os/processors.h"
#include "ko/process/fork.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::Gate;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

// How the child ends that Function runs in.
template <auto Function, class... Args>
ExitStatus EndOf(const ForkServer& server, Args&&... args) {
  absl::StatusOr<Child> child = server.Fork<Function>(std::forward<Args>(args)...);
  EXPECT_THAT(child, IsOk());
  if (!child.ok()) return ExitStatus::Unknown();
  absl::StatusOr<ExitStatus> status = child->Wait();
  EXPECT_THAT(status, IsOk());
  return status.value_or(ExitStatus::Unknown());
}

class ForkServerTest : public testing::LeakCheckedTest {
 protected:
  static ForkServer Start(ForkServerOptions options = {}) {
    absl::StatusOr<ForkServer> server = ForkServer::Start(std::move(options));
    EXPECT_THAT(server, IsOk());
    if (!server.ok()) std::abort();
    return *std::move(server);
  }
};

struct Spares {
  int count;
  bool near_caller = false;
};

// With and without children that wait: the promises are the same.
class ForkServerSparesTest : public ForkServerTest, public ::testing::WithParamInterface<Spares> {
 protected:
  static ForkServerOptions Options() {
    ForkServerOptions options;
    options.spares = GetParam().count;
    options.spares_near_caller = GetParam().near_caller;
    return options;
  }
  static ForkServer StartOne() { return Start(Options()); }
};
INSTANTIATE_TEST_SUITE_P(Spares, ForkServerSparesTest,
                         ::testing::Values(Spares{0}, Spares{1}, Spares{4}, Spares{1, true}, Spares{4, true}),
                         [](const auto& info) {
                           return absl::StrCat(info.param.count, info.param.near_caller ? "near" : "");
                         });

// --- Every way to end ---

int ReturnCode(int code) { return code; }
void ReturnNothing() {}
absl::Status ReturnStatus(bool ok) { return ok ? absl::OkStatus() : absl::NotFoundError("no such table"); }
void KillItself(int signo) {
  const rlimit no_core = {0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(signo, SIG_DFL);
  ::raise(signo);
}
void Abort() {
  const rlimit no_core = {0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::abort();
}
void Exit(int code) { std::exit(code); }

TEST_P(ForkServerSparesTest, ReturnedCodeIsTheExitCode) {
  const ForkServer server = StartOne();
  for (int code = 0; code < 10; ++code) EXPECT_EQ(EndOf<&ReturnCode>(server, code), ExitStatus::Exited(code));
  EXPECT_EQ(EndOf<&ReturnNothing>(server), ExitStatus::Exited(0));
  EXPECT_EQ(EndOf<&Exit>(server, 3), ExitStatus::Exited(3));
}

TEST_P(ForkServerSparesTest, StatusReachesTheParentWithCodeAndMessage) {
  const ForkServer server = StartOne();
  for (int i = 0; i < 3; ++i) {
    const ExitStatus failed = EndOf<&ReturnStatus>(server, false);
    EXPECT_EQ(failed, ExitStatus::Exited(1));
    EXPECT_EQ(failed.ToStatus(), absl::NotFoundError("no such table"));
    EXPECT_EQ(EndOf<&ReturnStatus>(server, true).ToStatus(), absl::OkStatus());
    EXPECT_THAT(EndOf<&ReturnCode>(server, 1).ToStatus().message(), ::testing::Not(HasSubstr("table")))
        << "nothing of an earlier task's report is left";
  }
}

TEST_P(ForkServerSparesTest, SignalThatKillsIsTold) {
  const ForkServer server = StartOne();
  for (const int signo : {SIGKILL, SIGSEGV, SIGTERM}) {
    EXPECT_EQ(EndOf<&KillItself>(server, signo), ExitStatus::Signaled(signo));
  }
  EXPECT_EQ(EndOf<&Abort>(server), ExitStatus::Signaled(SIGABRT));
}

#ifdef ABSL_HAVE_EXCEPTIONS
void Throw(const std::string& what) { throw std::runtime_error(what); }

TEST_P(ForkServerSparesTest, ExceptionReachesTheParentWithItsWhat) {
  const ForkServer server = StartOne();
  EXPECT_THAT(EndOf<&Throw>(server, "the disk is full").ToStatus(),
              StatusIs(absl::StatusCode::kUnknown, "exception: the disk is full"));
}
#endif

int CompareParent(pid_t parent) { return ::getppid() == parent && ::getpgrp() == ::getpgid(parent) ? 0 : 1; }

TEST_P(ForkServerSparesTest, ChildIsARealChildInTheCallersGroup) {
  const ForkServer server = StartOne();
  EXPECT_EQ(EndOf<&CompareParent>(server, ::getpid()), ExitStatus::Exited(0));
}

void Sleep() {
  for (;;) ::pause();
}

TEST_P(ForkServerSparesTest, StopAndKillReachTheChild) {
  const ForkServer server = StartOne();
  absl::StatusOr<Child> child = server.Fork<&Sleep>();
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(child->Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(child->Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
}

// --- Arguments ---

struct Point {
  int x;
  double y;
};
int CheckAll(const std::string& text, std::string_view view, Point point, std::vector<std::string> names,
             absl::Span<const int> numbers, std::optional<int> maybe, std::optional<std::string> none,
             std::tuple<int, std::string> pair) {
  return text == "text" && view == "view" && point.x == 3 && point.y == 0.5 && names.size() == 2 &&
                 names[1] == "b" && numbers.size() == 3 && numbers[2] == 30 && maybe == 7 &&
                 !none.has_value() && pair == std::tuple(1, std::string("one"))
             ? 42
             : 1;
}

TEST_F(ForkServerTest, ArgumentsArriveAsTheyWere) {
  const ForkServer server = Start();
  const std::vector<int> numbers = {10, 20, 30};
  EXPECT_EQ(EndOf<&CheckAll>(server, "text", "view", Point{3, 0.5}, std::vector<std::string>{"a", "b"},
                             numbers, 7, std::nullopt, std::tuple(1, std::string("one"))),
            ExitStatus::Exited(42));
}

int CheckSum(const std::vector<uint64_t>& numbers, size_t count) {
  return numbers.size() == count &&
                 std::accumulate(numbers.begin(), numbers.end(), uint64_t{0}) == count * (count - 1) / 2
             ? 42
             : 1;
}

TEST_F(ForkServerTest, ArgumentsOfAnySizeArrive) {
  const ForkServer server = Start();
  for (const size_t count :
       {size_t{0}, size_t{1}, size_t{2045}, size_t{2046}, size_t{2048}, size_t{100'000}, size_t{4} << 20}) {
    std::vector<uint64_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0);
    EXPECT_EQ(EndOf<&CheckSum>(server, numbers, count), ExitStatus::Exited(42)) << count;
  }
}

int WriteTo(PassedFd fd, std::vector<PassedFd> more, std::optional<PassedFd> one, const std::string& text) {
  for (const PassedFd& each : more) {
    if (::write(each.fd, text.data(), text.size()) < 0) return 1;
  }
  return ::write(fd.fd, text.data(), text.size()) > 0 && ::write(one->fd, "!", 1) == 1 ? 0 : 1;
}

TEST_F(ForkServerTest, DescriptorsArePassed) {
  const ForkServer server = Start();
  const int a = ::memfd_create("a", MFD_CLOEXEC), b = ::memfd_create("b", MFD_CLOEXEC);
  EXPECT_EQ(EndOf<&WriteTo>(server, PassedFd{a}, std::vector<PassedFd>{{b}, {b}}, PassedFd{b}, "text"),
            ExitStatus::Exited(0));
  EXPECT_EQ(
      EndOf<&WriteTo>(server, PassedFd{a}, std::vector<PassedFd>(), PassedFd{b}, std::string(100'000, 'x')),
      ExitStatus::Exited(0));
  EXPECT_EQ(::lseek(a, 0, SEEK_CUR), 100'004);
  EXPECT_EQ(::lseek(b, 0, SEEK_CUR), 10);
  ::close(a);
  ::close(b);
}

int CountFds(std::vector<PassedFd> fds) { return static_cast<int>(fds.size()); }

TEST_F(ForkServerTest, DescriptorsThatCannotBePassedAreRefused) {
  const ForkServer server = Start();
  EXPECT_THAT(server.Fork<&CountFds>(std::vector<PassedFd>{{-1}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("EBADF")));
  EXPECT_THAT(server.Fork<&CountFds>(std::vector<PassedFd>(253, PassedFd{1})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("252")));
  EXPECT_EQ(EndOf<&CountFds>(server, std::vector<PassedFd>(252, PassedFd{1})), ExitStatus::Exited(252));
}

int CountOpen() {
  int open = 0;
  for (int fd = 3; fd < 1000; ++fd) open += ::fcntl(fd, F_GETFD) != -1 ? 1 : 0;
  return open;
}

TEST_F(ForkServerTest, ChildHasNoDescriptorOfTheServers) {
  const int open = CountOpen();
  ForkServerOptions options;
  options.spares = 4;
  const ForkServer server = Start(std::move(options));
  // The first are spares; for the others the server has been asked for spares that it has not made yet.
  for (int i = 0; i < 20; ++i) EXPECT_EQ(EndOf<&CountOpen>(server), ExitStatus::Exited(open));
}

int CountItsProcessors() { return static_cast<int>(os::CountProcessors()); }

TEST_P(ForkServerSparesTest, ATaskMayRunOnAllProcessorsThatTheServerMay) {
  const int processors = CountItsProcessors();
  const ForkServer server = StartOne();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(EndOf<&CountItsProcessors>(server), ExitStatus::Exited(processors));
}

// Long enough to be in memory by no accident; it is nowhere in the program's own.
constexpr int kSecretBytes = 100;
char SecretByte(int i) { return static_cast<char>('a' + i * i % 23); }

std::string Secret() {
  std::string secret;
  for (int i = 0; i < kSecretBytes; ++i) secret.push_back(SecretByte(i));
  return secret;
}

int HoldsSecret(const std::string& text) { return text == Secret() ? 1 : 0; }

// Whether it lies on the stack, where the server has its messages. Compared byte by byte: no copy is to be found.
int FindSecretOnStack() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with("[stack]")) continue;
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) != 2) return 2;
    std::vector<char> stack(end - begin);
    const int memory = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (::pread(memory, stack.data(), stack.size(), static_cast<off_t>(begin)) != std::ssize(stack)) return 3;
    for (size_t at = 0; at + kSecretBytes <= stack.size(); ++at) {
      int i = 0;
      while (i < kSecretBytes && stack[at + i] == SecretByte(i)) ++i;
      if (i == kSecretBytes) return 1;
    }
    return 0;
  }
  return 4;
}

TEST_P(ForkServerSparesTest, NothingOfATasksArgumentsIsInTheNext) {
  const ForkServer server = StartOne();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(EndOf<&HoldsSecret>(server, Secret()), ExitStatus::Exited(1));
    EXPECT_EQ(EndOf<&FindSecretOnStack>(server), ExitStatus::Exited(0));
  }
}

// --- The C library in the child ---

int UseCLibrary() {
  if (::gettid() != ::getpid()) return 1;
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_t recursive;
  ::pthread_mutex_init(&recursive, &attributes);
  if (::pthread_mutex_lock(&recursive) != 0 || ::pthread_mutex_trylock(&recursive) != 0) return 2;
  if (recursive.__data.__owner != ::getpid()) return 3;
  int sum = 0;
  std::thread([&sum] { sum = 1; }).join();
  if (sum != 1) return 4;
  // An error-checking lock of this thread is known as its own.
  ::pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t checking;
  ::pthread_mutex_init(&checking, &attributes);
  ::pthread_mutex_lock(&checking);
  if (::pthread_mutex_lock(&checking) != EDEADLK) return 5;
  absl::StatusOr<Child> child = Fork([] { ::raise(SIGUSR1); });
  if (!child.ok() || *child->Wait() != ExitStatus::Signaled(SIGUSR1)) return 6;
  if (::pthread_kill(::pthread_self(), 0) != 0) return 7;
  std::FILE* const file = std::tmpfile();
  if (std::fprintf(file, "text") != 4 || std::fclose(file) != 0) return 8;
  if (::system("exit 3") != 3 << 8) return 9;
  return 42;
}

TEST_P(ForkServerSparesTest, CLibraryWorksInTheChild) {
  const ForkServer server = StartOne();
  EXPECT_EQ(EndOf<&UseCLibrary>(server), ExitStatus::Exited(42));
}

// A robust lock that its holder died with is handed on.
int DieWithRobustLock(PassedFd memory) {
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd, 0);
  ::pthread_mutex_lock(static_cast<pthread_mutex_t*>(page));
  ::_exit(0);
}

TEST_P(ForkServerSparesTest, RobustLockOfAChildThatDiedIsHandedOn) {
  const ForkServer server = StartOne();
  const int memory = ::memfd_create("memory", MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(memory, 4096), 0);
  auto* const mutex =
      static_cast<pthread_mutex_t*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ::pthread_mutex_init(mutex, &attributes);
  EXPECT_EQ(EndOf<&DieWithRobustLock>(server, PassedFd{memory}), ExitStatus::Exited(0));
  EXPECT_EQ(::pthread_mutex_lock(mutex), EOWNERDEAD);
  ::munmap(mutex, 4096);
  ::close(memory);
}

// --- Output ---

void Print(const std::string& text) { std::printf("%s", text.c_str()); }

TEST_F(ForkServerTest, OutputIsPrintedOnceAndFlushed) {
  const testing::InChildResult result = InChild([] {
    std::printf("before ");
    ForkServerOptions options;
    options.init = [] {
      std::printf("init ");
      return absl::OkStatus();
    };
    const ForkServer server = Start(std::move(options));
    EXPECT_EQ(EndOf<&Print>(server, "one "), ExitStatus::Exited(0));
    std::printf("caller ");
    EXPECT_EQ(EndOf<&Print>(server, "two "), ExitStatus::Exited(0));
  });
  EXPECT_EQ(result.out, "before init one two caller ");
}

void PrintAtExit() {
  std::atexit([] { std::printf("childs"); });
  std::exit(0);
}

TEST_F(ForkServerTest, OnlyTheChildsExitHandlersRunInIt) {
  const testing::InChildResult result = InChild([] {
    std::atexit([] { std::printf("callers"); });
    ForkServerOptions options;
    options.init = [] {
      std::atexit([] { std::printf("servers"); });
      return absl::OkStatus();
    };
    const ForkServer server = Start(std::move(options));
    EXPECT_EQ(EndOf<&PrintAtExit>(server), ExitStatus::Exited(0));
    const pid_t pid = server.pid();
    ::kill(pid, SIGKILL);
    testing::AwaitEnded(pid);
    EXPECT_EQ(EndOf<&PrintAtExit>(server), ExitStatus::Exited(0)) << "of an heir";
  });
  EXPECT_EQ(result.out, "childschilds");
}

// --- A warm server ---

int warmth = 0;
int runs = 0;
int ReadWarmth() { return warmth; }
int CountRuns() { return ++runs; }

TEST_P(ForkServerSparesTest, EachChildStartsWithWhatInitLeft) {
  ForkServerOptions options = Options();
  options.init = [] {
    warmth = 5;
    return absl::OkStatus();
  };
  const ForkServer server = Start(std::move(options));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(EndOf<&ReadWarmth>(server), ExitStatus::Exited(5));
    EXPECT_EQ(EndOf<&CountRuns>(server), ExitStatus::Exited(1)) << "and with nothing of an earlier task";
  }
  EXPECT_EQ(warmth, 0) << "in the caller";
}

TEST_F(ForkServerTest, FailedInitIsTheErrorOfStart) {
  ForkServerOptions options;
  options.init = [] { return absl::NotFoundError("no model"); };
  EXPECT_THAT(ForkServer::Start(std::move(options)),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no model")));
}

TEST_F(ForkServerTest, InitThatDiesIsTheErrorOfStart) {
  ForkServerOptions options;
  options.init = [] {
    ::_exit(0);
    return absl::OkStatus();
  };
  EXPECT_THAT(ForkServer::Start(std::move(options)), StatusIs(absl::StatusCode::kAborted));
  ForkServerOptions killed;
  killed.init = []() -> absl::Status { return ::raise(SIGKILL), absl::OkStatus(); };
  EXPECT_THAT(ForkServer::Start(std::move(killed)),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("SIGKILL")));
}

TEST_F(ForkServerTest, InitThatLeavesAThreadIsRefused) {
  ForkServerOptions options;
  options.init = [] {
    std::thread([] { Sleep(); }).detach();
    return absl::OkStatus();
  };
  EXPECT_THAT(ForkServer::Start(std::move(options)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("threads")));
}

TEST_P(ForkServerSparesTest, RefreshTakesTheCallersStateAndRunsInitAgain) {
  static int base = 0;
  base = 10;
  ForkServerOptions options = Options();
  options.init = [] {
    warmth = base + 1;
    return absl::OkStatus();
  };
  ForkServer server = Start(std::move(options));
  const pid_t first = server.pid();
  absl::StatusOr<Child> running = server.Fork<&Sleep>();
  base = 20;
  EXPECT_EQ(EndOf<&ReadWarmth>(server), ExitStatus::Exited(11));
  EXPECT_THAT(server.Refresh(), IsOk());
  EXPECT_NE(server.pid(), first);
  EXPECT_EQ(EndOf<&ReadWarmth>(server), ExitStatus::Exited(21));
  EXPECT_THAT(running->Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(running->Stop(), IsOk());
}

TEST_F(ForkServerTest, RefreshThatFailsKeepsTheServer) {
  static bool fail = false;
  fail = false;
  ForkServerOptions options;
  options.init = [] { return fail ? absl::UnavailableError("not now") : absl::OkStatus(); };
  ForkServer server = Start(std::move(options));
  const pid_t pid = server.pid();
  fail = true;
  EXPECT_THAT(server.Refresh(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not now")));
  EXPECT_EQ(server.pid(), pid);
  EXPECT_EQ(EndOf<&ReturnCode>(server, 4), ExitStatus::Exited(4));
}

// --- Misuse ---

TEST_F(ForkServerTest, UnusableOnesAreRefused) {
  ForkServer server = Start();
  InChild([&server] {
    EXPECT_THAT(server.Fork<&ReturnNothing>(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(server.Refresh(), StatusIs(absl::StatusCode::kFailedPrecondition));
    const ForkServer dropped = std::move(server);
  });
  EXPECT_EQ(EndOf<&ReturnCode>(server, 4), ExitStatus::Exited(4)) << "the copy in the child did it no harm";
  const ForkServer taken = std::move(server);
  EXPECT_THAT(server.Fork<&ReturnNothing>(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(server.Refresh(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(server.pid(), 0);
  EXPECT_EQ(EndOf<&ReturnCode>(taken, 4), ExitStatus::Exited(4));
  ForkServerOptions options;
  for (const int spares : {-1, 33}) {
    options.spares = spares;
    EXPECT_THAT(ForkServer::Start(std::move(options)), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(ForkServerTest, ChangedSessionIsRefusedUntilRefresh) {
  InChild([] {
    ForkServer server = Start();
    ::setsid();
    EXPECT_THAT(server.Fork<&ReturnNothing>(),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("session")));
    EXPECT_THAT(server.Refresh(), IsOk());
    EXPECT_EQ(EndOf<&ReturnCode>(server, 4), ExitStatus::Exited(4));
  });
}

TEST_F(ForkServerTest, ChangedUserIsRefusedUntilRefresh) {
  if (InChild([] { ::_exit(::seteuid(65534)); }).exit_code != 0)
    GTEST_SKIP() << "this user may not become another";
  InChild([] {
    ForkServer server = Start();
    EXPECT_EQ(::seteuid(65534), 0);
    EXPECT_THAT(server.Fork<&ReturnNothing>(),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("user")));
    EXPECT_THAT(server.Refresh(), IsOk());
    EXPECT_EQ(EndOf<&ReturnCode>(server, 4), ExitStatus::Exited(4));
  });
}

}  // namespace
}  // namespace ko
