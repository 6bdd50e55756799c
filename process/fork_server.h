#ifndef KO_PROCESS_FORK_SERVER_H_
#define KO_PROCESS_FORK_SERVER_H_

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ko/process/arguments.h"
#include "ko/process/child.h"
#include "ko/process/child_body.h"
#include "ko/process/fork_server_protocol.h"
#include "ko/process/passed_fd.h"

namespace ko {

struct ForkServerOptions {
  // Runs once in the server, before anything is forked from it: load a model, open files, fill a cache. Every child starts
  // with what it left. It runs again in a server that Refresh starts, so it may be called several times, each time in a new
  // process. No thread that it started may be left. Where it fails, so does Start, with its status.
  absl::AnyInvocable<absl::Status()> init = nullptr;

  // So many children wait, forked in advance, for a function to run: a Fork that finds one is not delayed by the fork. They
  // are also the server's heirs. When fewer than half of them are left, those that are missing are asked for, all at once: most
  // calls disturb nobody but their task. They are made when there has been no call for a moment, so that a task that has just
  // begun does not share the processors with the server's work. 0 to 32.
  int spares = 1;

  // Spares wait on the processor of the call that had them made, and a call lets the task that it has started go first: so the
  // task's body begins within a switch between two processes, where to wake another processor that sleeps takes several times as
  // long. For tasks that are short or waited for: what the caller does after the call, the next call too, may begin when the
  // task sleeps, has ended or has had its share of the processor, which is some milliseconds.
  bool spares_near_caller = false;

  // Start the server although this process has other threads, see ForkOptions.
  bool allow_threads = false;
};

// Forks from a small process started early, so that the price of a child does not depend on the caller's memory, and so that
// a program with threads forks safely.
//
//   void Resize(const std::string& path, int width);
//
//   int main() {
//     absl::StatusOr<ko::ForkServer> server = ko::ForkServer::Start();   // early: while there is little memory, no thread
//     ...
//     absl::StatusOr<ko::Child> child = server->Fork<&Resize>(path, 640);
//     child->Wait();
//   }
//
// The child is a child of this process, like one of ko::Fork, and a copy of the server: of this process as it was at Start,
// with what init has added. Globals, environment, working directory, limits, ignored signals and open descriptors are those.
// The signal mask and the process group are the ones of the call. The caller's output is not flushed for it: nothing of it is
// in the child. pthread_atfork handlers do not run in it. Otherwise everything is as in a child of ko::Fork: how it ends, its
// exit handlers, its output, what reaches the parent.
//
// Function is any function of this program, or of a library that was loaded before Start, that returns nothing, an int or an
// absl::Status. Its arguments are converted to its parameters' types here and sent, however long they are: trivially copyable
// values, strings, vectors and spans of them, optionals, tuples (see arguments.h), and descriptors (PassedFd).
//
// Threads: any, at once. Fork: of no use in a forked child (FailedPrecondition). Signals: SIGCHLD comes for the server's and
// its children's ends, as for any child's. Crash: a server that dies is replaced: by a waiting child, or by a new one forked
// from this process as it is then. Server and waiting children leave when this process dies in whatever way; tasks go on,
// unless die_with_parent was asked for. Destruction of the last handle ends the server; tasks go on.
// Errors: FailedPrecondition (in a forked child; for a moved-from one; a function of a library loaded or a user or session
// changed since Start; the server died, nobody can take its place and this process has threads), InvalidArgument (a bad
// descriptor, more than 252), Unavailable and ResourceExhausted as for Fork. Then there is no child.
class ForkServer {
 public:
  struct TaskOptions {
    // The kernel kills the child when this process dies; it ties this to the thread that called Start, or to the one whose
    // call replaced the server, which must live as long as the child.
    bool die_with_parent = false;
  };

  static absl::StatusOr<ForkServer> Start(ForkServerOptions options = {});

  ForkServer(ForkServer&&) noexcept;
  ForkServer& operator=(ForkServer&&) noexcept;
  ~ForkServer();

  // Runs Function(arguments...) in a new child.
  template <auto Function, class... Args>
  absl::StatusOr<Child> Fork(Args&&... args) const {
    return ForkWith<Function>(TaskOptions{}, std::forward<Args>(args)...);
  }

  template <auto Function, class... Args>
  absl::StatusOr<Child> ForkWith(const TaskOptions& options, Args&&... args) const;

  // Another handle of the same server, which ends with the last one. Of a moved-from one, another such.
  ForkServer Share() const { return ForkServer(impl_); }

  // Starts a server anew, forked from this process as it is now, runs init in it, and uses it from then on. Running children
  // are not touched. Where it fails the old one is kept. Errors: those of Start.
  absl::Status Refresh();

  // Of the server; another one after it has been replaced. 0 for a moved-from one.
  pid_t pid() const;

 private:
  class Impl;
  explicit ForkServer(std::shared_ptr<Impl> impl);

  template <class F>
  struct Signature;
  template <auto Function, class Tuple>
  static BodyResult RunPacked(std::string_view arguments, absl::Span<const int> fds);

  absl::StatusOr<Child> ForkPacked(PackedFunction function, std::string_view arguments,
                                   absl::Span<const int> fds, const TaskOptions& options) const;

  std::shared_ptr<Impl> impl_;
};

template <class R, class... Params>
struct ForkServer::Signature<R (*)(Params...)> {
  using Values = std::tuple<PackedAs<Params>...>;
};
template <class R, class... Params>
struct ForkServer::Signature<R (*)(Params...) noexcept> : Signature<R (*)(Params...)> {};

template <auto Function, class Values>
BodyResult ForkServer::RunPacked(std::string_view arguments, absl::Span<const int> fds) {
  absl::StatusOr<Values> values = [&]<class... T>(std::type_identity<std::tuple<T...>>) {
    return Unpack<T...>(arguments);
  }(std::type_identity<Values>());
  if (!values.ok()) return BodyResult::FromStatus(values.status());
  auto receive = [&fds](PassedFd& passed) {
    const auto index = static_cast<size_t>(passed.fd);
    passed.fd = index < fds.size() ? fds[index] : -1;
  };
  internal::VisitPassedFds(*values, receive);
  return ChildBody([&values] { return std::apply(Function, *std::move(values)); })();
}

template <auto Function, class... Args>
absl::StatusOr<Child> ForkServer::ForkWith(const TaskOptions& options, Args&&... args) const {
  using Values = typename Signature<decltype(Function)>::Values;
  static_assert(sizeof...(Args) == std::tuple_size_v<Values>,
                "as many arguments as the function has parameters");
  Values values(std::forward<Args>(args)...);
  std::vector<int> fds;
  auto send = [&fds](PassedFd& passed) {
    fds.push_back(std::exchange(passed.fd, static_cast<int>(fds.size())));
  };
  internal::VisitPassedFds(values, send);
  const std::string packed = std::apply([](const auto&... each) { return Pack(each...); }, values);
  return ForkPacked(&RunPacked<Function, Values>, packed, fds, options);
}

}  // namespace ko

#endif  // KO_PROCESS_FORK_SERVER_H_
