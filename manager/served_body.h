#ifndef KO_MANAGER_SERVED_BODY_H_
#define KO_MANAGER_SERVED_BODY_H_

#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/manager/attempt_entry.h"
#include "ko/manager/self.h"
#include "ko/process/arguments.h"
#include "ko/process/child.h"
#include "ko/process/child_body.h"
#include "ko/process/fork_server.h"
#include "ko/process/passed_fd.h"

namespace ko {

// What the manager sends along with the function and its arguments.
struct ServedLaunch {
  AttemptFacts facts;
  uint64_t control_offset = 0;  // in the region
  sigset_t mask = {};           // of the call; until the function begins all signals are blocked
};

// A function and its arguments that a ForkServer runs, as often as asked. See OnForkServer.
struct ServedBody {
  bool takes_self = false;
  // The two descriptors are those of the ServedRegion and of the manager's bell.
  absl::AnyInvocable<absl::StatusOr<Child>(const ServedLaunch&, PassedFd region, PassedFd bell) const>
      launch = nullptr;
};

namespace internal {

// In the new process: all that comes before the function, which may then take Self. Null where it does not.
absl::StatusOr<std::unique_ptr<Self>> EnterServedProcess(const ServedLaunch& launch, PassedFd region,
                                                         PassedFd bell);

template <auto Function, bool kTakesSelf, class... Params>
BodyResult RunServed(ServedLaunch launch, PassedFd region, PassedFd bell, PackedAs<Params>... arguments) {
  absl::StatusOr<std::unique_ptr<Self>> self = EnterServedProcess(launch, region, bell);
  if (!self.ok()) return BodyResult::FromStatus(self.status());
  return ChildBody([&] {
    if constexpr (kTakesSelf) {
      return Function(**self, std::move(arguments)...);
    } else {
      return Function(std::move(arguments)...);
    }
  })();
}

template <class F>
struct ServedSignature;
template <class R, class... Params>
struct ServedSignature<R (*)(Params...)> {
  static constexpr bool kTakesSelf = false;
  using Values = std::tuple<PackedAs<Params>...>;
  template <auto Function>
  static constexpr auto kRun = &RunServed<Function, false, Params...>;
};
template <class R, class... Params>
struct ServedSignature<R (*)(Self&, Params...)> {
  static constexpr bool kTakesSelf = true;
  using Values = std::tuple<PackedAs<Params>...>;
  template <auto Function>
  static constexpr auto kRun = &RunServed<Function, true, Params...>;
};
template <class R, class... Params>
struct ServedSignature<R (*)(Params...) noexcept> : ServedSignature<R (*)(Params...)> {};

template <auto Function, class... Args>
ServedBody MakeServedBody(std::optional<ForkServer> server, Args&&... args) {
  using Signature = ServedSignature<decltype(Function)>;
  using Values = typename Signature::Values;
  static_assert(sizeof...(Args) == std::tuple_size_v<Values>,
                "as many arguments as the function has parameters, but for Self&");
  return {
      .takes_self = Signature::kTakesSelf,
      .launch = [server = std::move(server), values = Values(std::forward<Args>(args)...)](
                    const ServedLaunch& launch, PassedFd region, PassedFd bell) -> absl::StatusOr<Child> {
        if (!server.has_value()) {
          return absl::FailedPreconditionError("ProcessManager: no fork server is in use (UseForkServer)");
        }
        return std::apply(
            [&](const auto&... each) {
              return server->ForkWith<Signature::template kRun<Function>>({.die_with_parent = true}, launch,
                                                                          region, bell, each...);
            },
            values);
      }};
}

}  // namespace internal

// A body for all that takes one (Fork, Spawn, Group, SpawnPool) that `server` forks: Function(arguments...), or, where its
// first parameter is Self&, Function(self, arguments...). The arguments are copied, and sent for each attempt; for what they
// may be see fork_server.h. The function has what the server has, and nothing else of the manager's process.
//
//   absl::Status Resize(ko::Self& self, const std::string& path, int width);
//
//   manager.Spawn(ko::OnForkServer<&Resize>(server, path, 640), policy);
template <auto Function, class... Args>
ServedBody OnForkServer(const ForkServer& server, Args&&... args) {
  return internal::MakeServedBody<Function>(server.Share(), std::forward<Args>(args)...);
}

}  // namespace ko

#endif  // KO_MANAGER_SERVED_BODY_H_
