#include "ko/testing/syscall_errors.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <optional>

namespace ko::testing {
namespace {

using Errors = std::span<const int>;

template <int... kErrors>
constexpr std::array<int, sizeof...(kErrors)> kList = {kErrors...};

// Which of a call's operations is meant: where the argument, with its mask, has the value.
struct Operation {
  int argument;
  uint32_t mask;
  uint32_t value;
};

struct Entry {
  int number;
  std::string_view name;
  Errors errors;
  std::optional<Operation> only = std::nullopt;
};

constexpr auto& kNewDescriptor = kList<EMFILE, ENFILE, ENOMEM>;
constexpr auto& kPathLookup = kList<EACCES, ENOENT, ENOMEM, ELOOP, ENOTDIR>;
constexpr auto& kInterrupted = kList<EINTR>;
constexpr auto& kNoRight = kList<EPERM>;
constexpr uint32_t kFutexCommand = static_cast<uint32_t>(FUTEX_CMD_MASK);

#define KO_SYSCALL(name) SYS_##name, #name

// Those of one call stand together.
const Entry kEntries[] = {
    // Descriptors.
    {KO_SYSCALL(openat), kList<EACCES, EINTR, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSPC, EROFS, EPERM>},
    {KO_SYSCALL(openat2), kList<EACCES, EAGAIN, EMFILE, ENFILE, ENOENT, ENOMEM, EXDEV, ENOSYS>},
    {KO_SYSCALL(pipe2), kNewDescriptor},
    {KO_SYSCALL(eventfd2), kNewDescriptor},
    {KO_SYSCALL(timerfd_create), kNewDescriptor},
    {KO_SYSCALL(signalfd4), kNewDescriptor},
    {KO_SYSCALL(memfd_create), kNewDescriptor},
    {KO_SYSCALL(epoll_create1), kNewDescriptor},
    {KO_SYSCALL(epoll_ctl), kList<ENOMEM, ENOSPC>},
    {KO_SYSCALL(dup), kList<EMFILE>},
    {KO_SYSCALL(dup2), kList<EBUSY, EINTR>},
    {KO_SYSCALL(dup3), kList<EBUSY, EINTR>},
    {KO_SYSCALL(fcntl), kList<EMFILE>, Operation{1, ~0u, F_DUPFD_CLOEXEC}},
    {KO_SYSCALL(fcntl), kList<EACCES, EAGAIN, ENOLCK>, Operation{1, ~0u, F_SETLK}},
    {KO_SYSCALL(flock), kList<EINTR, ENOLCK, EWOULDBLOCK>},
    {KO_SYSCALL(close_range), kList<ENOMEM>},

    // Files.
    {KO_SYSCALL(read), kList<EINTR, EIO>},
    {KO_SYSCALL(write), kList<EINTR, EIO, ENOSPC, EPIPE>},
    {KO_SYSCALL(pread64), kList<EINTR, EIO>},
    {KO_SYSCALL(pwrite64), kList<EINTR, EIO, ENOSPC>},
    {KO_SYSCALL(ftruncate), kList<EINTR, EIO, EPERM, EFBIG>},
    {KO_SYSCALL(fallocate), kList<EINTR, EIO, ENOSPC, EOPNOTSUPP>},
    {KO_SYSCALL(fsync), kList<EIO, ENOSPC>},
    {KO_SYSCALL(newfstatat), kPathLookup},
    {KO_SYSCALL(statx), kPathLookup},
    {KO_SYSCALL(fchmod), kList<EIO, EPERM, EROFS>},
    {KO_SYSCALL(fchown), kList<EIO, EPERM, EROFS>},
    {KO_SYSCALL(readlinkat), kPathLookup},
    {KO_SYSCALL(unlink), kList<EACCES, EIO, ENOMEM, EPERM, EROFS>},
    {KO_SYSCALL(unlinkat), kList<EACCES, EIO, ENOMEM, EPERM, EROFS>},
    {KO_SYSCALL(rename), kList<EACCES, EIO, ENOMEM, ENOSPC, EROFS>},
    {KO_SYSCALL(renameat2), kList<EACCES, EIO, ENOMEM, ENOSPC, EROFS>},
    {KO_SYSCALL(linkat), kList<EACCES, EEXIST, EIO, ENOMEM, ENOSPC, EPERM, EROFS>},
    {KO_SYSCALL(getdents64), kList<ENOENT>},
    {KO_SYSCALL(chdir), kPathLookup},

    // Memory. (mlock and mprotect are the C library's, too.)
    {KO_SYSCALL(mmap), kList<EAGAIN, ENOMEM>, Operation{3, MAP_SHARED, MAP_SHARED}},
    {KO_SYSCALL(madvise), kList<EAGAIN, ENOMEM>},
    {KO_SYSCALL(mremap), kList<EAGAIN, ENOMEM>},

    // Sockets.
    {KO_SYSCALL(socket), kList<EACCES, EMFILE, ENFILE, ENOBUFS, ENOMEM>},
    {KO_SYSCALL(socketpair), kList<EMFILE, ENFILE, ENOMEM>},
    {KO_SYSCALL(bind), kList<EACCES, EADDRINUSE, ENOMEM, EROFS>},
    {KO_SYSCALL(listen), kList<EADDRINUSE>},
    {KO_SYSCALL(connect), kList<EACCES, EAGAIN, ECONNREFUSED, EINTR>},
    {KO_SYSCALL(accept4), kList<EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM>},
    {KO_SYSCALL(sendmsg), kList<ECONNRESET, EINTR, ENOBUFS, ENOMEM, EPIPE>},
    {KO_SYSCALL(sendto), kList<ECONNREFUSED, EINTR, ENOBUFS, ENOMEM, EPIPE>},
    {KO_SYSCALL(recvmsg), kList<EINTR, ENOMEM, ECONNRESET>},
    {KO_SYSCALL(recvfrom), kList<EINTR, ENOMEM, ECONNRESET>},
    {KO_SYSCALL(setsockopt), kList<ENOMEM>},
    {KO_SYSCALL(getsockopt), kList<ENOBUFS>},

    // Waiting.
    {KO_SYSCALL(poll), kList<EINTR, ENOMEM>},
    {KO_SYSCALL(ppoll), kList<EINTR, ENOMEM>},
    {KO_SYSCALL(epoll_wait), kInterrupted},
    {KO_SYSCALL(epoll_pwait), kInterrupted},
    {KO_SYSCALL(clock_nanosleep), kInterrupted},
    {KO_SYSCALL(futex), kList<EAGAIN, EINTR>, Operation{1, kFutexCommand, FUTEX_WAIT}},
    {KO_SYSCALL(futex), kList<EAGAIN, EINTR>, Operation{1, kFutexCommand, FUTEX_WAIT_BITSET}},
    {KO_SYSCALL(futex), kList<EAGAIN, EINTR, ENOMEM>, Operation{1, kFutexCommand, FUTEX_LOCK_PI}},
    {KO_SYSCALL(futex_waitv), kList<EAGAIN, EINTR, ENOMEM>},
    {KO_SYSCALL(rt_sigtimedwait), kList<EAGAIN, EINTR>},

    // Processes.
    {KO_SYSCALL(clone), kList<EAGAIN, ENOMEM>},
    {KO_SYSCALL(clone3), kList<EAGAIN, ENOMEM, ENOSYS>},
    {KO_SYSCALL(vfork), kList<EAGAIN, ENOMEM>},
    {KO_SYSCALL(execve),
     kList<E2BIG, EACCES, EIO, ELOOP, EMFILE, ENFILE, ENOENT, ENOEXEC, ENOMEM, EPERM, ETXTBSY>},
    {KO_SYSCALL(execveat),
     kList<E2BIG, EACCES, EIO, ELOOP, EMFILE, ENFILE, ENOENT, ENOEXEC, ENOMEM, EPERM, ETXTBSY>},
    {KO_SYSCALL(waitid), kInterrupted, Operation{3, WNOHANG, 0}},
    {KO_SYSCALL(wait4), kInterrupted, Operation{2, WNOHANG, 0}},
    {KO_SYSCALL(pidfd_open), kNewDescriptor},
    {KO_SYSCALL(setsid), kNoRight},
    {KO_SYSCALL(setpgid), kList<EACCES, EPERM>},
    {KO_SYSCALL(prctl), kNoRight, Operation{0, ~0u, PR_SET_CHILD_SUBREAPER}},
    {KO_SYSCALL(prlimit64), kNoRight},
    {KO_SYSCALL(setpriority), kList<EACCES, EPERM>},
    {KO_SYSCALL(sched_setaffinity), kNoRight},
    {KO_SYSCALL(setgroups), kList<ENOMEM, EPERM>},
    {KO_SYSCALL(setresgid), kNoRight},
    {KO_SYSCALL(setresuid), kList<EAGAIN, EPERM>},
};

#undef KO_SYSCALL

bool Matches(const Entry& entry, int number, const uint64_t (&arguments)[6]) {
  if (entry.number != number) return false;
  return !entry.only.has_value() ||
         (static_cast<uint32_t>(arguments[entry.only->argument]) & entry.only->mask) == entry.only->value;
}

}  // namespace

std::vector<int> FallibleSyscalls() {
  std::vector<int> numbers;
  for (const Entry& entry : kEntries) {
    if (numbers.empty() || numbers.back() != entry.number) numbers.push_back(entry.number);
  }
  return numbers;
}

std::string_view SyscallName(int number) {
  const auto* const entry = std::ranges::find(kEntries, number, &Entry::number);
  return entry != std::end(kEntries) ? entry->name : "a system call that is not listed";
}

std::span<const int> SyscallErrors(int number, const uint64_t (&arguments)[6]) {
  for (const Entry& entry : kEntries) {
    if (Matches(entry, number, arguments)) return entry.errors;
  }
  return {};
}

}  // namespace ko::testing
