#include <gtest/gtest.h>
#include <malloc.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "ko/ko.h"
#include "ko/process/test_end.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/mount_over.h"
#include "ko/testing/read_all.h"
#include "ko/testing/unique_name.h"

// A table of what a machine can refuse against what the library does: what does not need the thing works, and what does
// says so by a status that names the errno, and leaves nothing.

namespace ko {
namespace {

using testing::InChild;
using testing::InChildResult;
using testing::MountOver;
using testing::ResourceSnapshot;

enum Need : unsigned {
  kNothing = 0,
  kDescriptor = 1,
  kProcess = 2,
  kAddressSpace = 4,
  kShmFolder = 8,  // a file in /dev/shm, and so a file's size as well
  kProcFolder = 16,
  kFileSize = 32,  // of a file in memory, which has no name
};

struct Operation {
  const char* name;
  unsigned needs;
  absl::Status (*run)();
};

template <class Object>
absl::Status WithName(absl::StatusOr<Object> (*create)(const std::string&)) {
  const std::string name = testing::UniqueName("refusals");
  absl::Status made = create(name).status();
  return made.ok() ? Object::Unlink(name) : made;
}

int Double(int number) { return 2 * number; }

const Operation kOperations[] = {
    {"Fork", kDescriptor | kProcess | kAddressSpace, [] { return EndOf(Fork([] {})); }},
    {"Exec", kDescriptor | kProcess | kAddressSpace, [] { return EndOf(Exec({.argv = {"/bin/true"}})); }},
    {"ForkServer", kDescriptor | kProcess | kAddressSpace | kFileSize,
     []() -> absl::Status {
       absl::StatusOr<ForkServer> server = ForkServer::Start({.spares = 0});
       return server.ok() ? EndOf(server->Fork<Double>(0)) : server.status();
     }},
    {"Listen", kDescriptor, [] { return Listen("127.0.0.1:0").status(); }},
    {"SignalDispatcher", kDescriptor, [] { return SignalDispatcher::Create().status(); }},
    {"SetProcessTitle", kDescriptor | kAddressSpace | kProcFolder, [] { return SetProcessTitle("refused"); }},
    {"Semaphore", kAddressSpace, [] { return Semaphore::Create(3).status(); }},
    {"Semaphore with a name", kDescriptor | kAddressSpace | kShmFolder,
     [] {
       return WithName<Semaphore>(
           [](const std::string& name) { return Semaphore::Create(3, {.name = name}); });
     }},
    {"SharedMemory", kAddressSpace, [] { return SharedMemory::Create().status(); }},
    {"SharedMemory with a name", kDescriptor | kAddressSpace | kShmFolder,
     [] {
       return WithName<SharedMemory>(
           [](const std::string& name) { return SharedMemory::Create(64 << 10, {.name = name}); });
     }},
    {"Channel", kAddressSpace, [] { return Channel<int>::Create().status(); }},
    {"Channel with poll_fd", kDescriptor | kAddressSpace,
     [] { return Channel<int>::Create({.pollable = true}).status(); }},
    {"Channel with a name", kDescriptor | kAddressSpace | kShmFolder,
     [] {
       return WithName<Channel<int>>(
           [](const std::string& name) { return Channel<int>::Create({.name = name}); });
     }},
    {"SharedJobQueue", kAddressSpace, [] { return SharedJobQueue::Create().status(); }},
    {"ProcessManager::Fork", kDescriptor | kProcess | kAddressSpace,
     [] {
       ProcessManager manager;
       return EndOf(manager.Fork([](Self&) {}).Wait());
     }},
    {"ProcessManager::Spawn of a command", kDescriptor | kProcess | kAddressSpace,
     [] {
       ProcessManager manager;
       return EndOf(
           manager.Spawn(Command{.argv = {"/bin/true"}}, {.when = RestartPolicy::When::kNever}).Wait());
     }},
    {"ProcessPool", kDescriptor | kProcess | kAddressSpace,
     []() -> absl::Status {
       absl::StatusOr<ProcessPool> pool = ProcessPool::Create({.workers = 1});
       if (!pool.ok()) return pool.status();
       return pool->Submit<Double>(1).Get().status();
     }},
};

// Something that the machine refuses; `impose` answers false where this process may not make it do so.
struct Refusal {
  const char* name;
  unsigned of;
  bool (*impose)();
};

bool Limit(int resource, rlim_t most) {
  const rlimit limit = {most, most};
  return ::setrlimit(resource, &limit) == 0;
}

bool SoftLimit(int resource, rlim_t most) {
  rlimit limit;
  if (::getrlimit(resource, &limit) != 0) return false;
  limit.rlim_cur = most;
  return ::setrlimit(resource, &limit) == 0;
}

bool LeaveNoAddressSpace() {
  // What is taken from the heap later is there already.
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  std::free(std::malloc(16 << 20));
  int64_t pages = 0;
  const std::string statm = testing::ReadFile("/proc/self/statm");
  const std::string_view size = *absl::StrSplit(statm, ' ').begin();
  return absl::SimpleAtoi(size, &pages) && Limit(RLIMIT_AS, static_cast<rlim_t>(pages * ::getpagesize()));
}

bool LeaveNoProcess() {
  testing::FailFork(EAGAIN);
  testing::FailSyscall(SYS_clone3, EAGAIN);
  testing::FailSyscall(SYS_vfork, EAGAIN);
  // A vfork is a clone with CLONE_VFORK and CLONE_VM.
  testing::FailSyscall(SYS_clone, EAGAIN,
                       testing::ArgumentMatch{.index = 0, .mask = CLONE_VFORK, .value = CLONE_VFORK});
  return true;
}

const Refusal kRefusals[] = {
    {"no descriptor", kDescriptor, [] { return Limit(RLIMIT_NOFILE, 0); }},
    {"no process", kProcess, LeaveNoProcess},
    {"no address space", kAddressSpace, LeaveNoAddressSpace},
    {"no locked memory", kNothing, [] { return Limit(RLIMIT_MEMLOCK, 0); }},
    {"no file size", kShmFolder | kFileSize, [] { return SoftLimit(RLIMIT_FSIZE, 0); }},
    {"a full /dev/shm", kShmFolder,
     [] {
       if (!MountOver("/dev/shm", "size=4k")) return false;
       std::ofstream("/dev/shm/filler") << std::string(4096, 'x');
       return true;
     }},
    {"a read-only /dev/shm", kShmFolder, [] { return MountOver("/dev/shm", "", MS_RDONLY); }},
    {"a read-only working folder", kNothing,
     [] {
       const std::string folder = ::testing::TempDir();
       return MountOver(folder.c_str(), "", MS_RDONLY) && ::chdir(folder.c_str()) == 0;
     }},
    {"no /proc", kProcFolder, [] { return MountOver("/proc"); }},
};

class RefusalsTest : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusalsTest, WhatNeedsItSaysSoAndTheRestWorks) {
  const Refusal& refusal = GetParam();
  if (InChild([&] { return std::string(refusal.impose() ? "" : "skip"); }).value == "skip") {
    GTEST_SKIP() << "this process may not: it is not root, or in a namespace that does not let it";
  }
  for (const Operation& operation : kOperations) {
    SCOPED_TRACE(operation.name);
    const InChildResult result = InChild([&] {
      const bool can_look = refusal.of != kDescriptor && refusal.of != kProcFolder;
      refusal.impose();
      const ResourceSnapshot before = can_look ? ResourceSnapshot::Take() : ResourceSnapshot();
      const absl::Status status = operation.run();
      SoftLimit(RLIMIT_FSIZE, RLIM_INFINITY);  // what the child tells the test is written to a file
      if ((operation.needs & refusal.of) == 0) {
        EXPECT_TRUE(status.ok()) << status;
      } else {
        EXPECT_FALSE(status.ok());
        EXPECT_TRUE(absl::StrContains(status.message(), "[E")) << status;
      }
      EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
      if (can_look) {
        EXPECT_EQ(ResourceSnapshot::Take().ChangesSince(before), "");
      }
    });
    EXPECT_TRUE(result.ok()) << "signal " << result.term_signal.value_or(0) << "\n" << result.err;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RefusalsTest, ::testing::ValuesIn(kRefusals), [](const auto& info) {
  std::string name = info.param.name;
  std::erase_if(name, [](char c) { return !absl::ascii_isalnum(static_cast<unsigned char>(c)); });
  return name;
});

}  // namespace
}  // namespace ko
