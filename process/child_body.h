#ifndef KO_PROCESS_CHILD_BODY_H_
#define KO_PROCESS_CHILD_BODY_H_

#include <concepts>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace ko {

// How a child's body ended: with an exit code, or with a status that becomes code 0 or 1 and whose message
// reaches the parent.
struct BodyResult {
  int exit_code = 0;
  absl::Status reason;

  static BodyResult FromStatus(absl::Status status) {
    const int exit_code = status.ok() ? 0 : 1;
    return {exit_code, std::move(status)};
  }
};

// What a forked child runs: any callable, move-only ones too, that takes nothing and returns nothing (exit
// code 0), an int (the exit code), or an absl::Status (0 or 1). Empty ones (a null function pointer, an empty
// AnyInvocable) are refused by whoever is to run them.
class ChildBody {
 public:
  ChildBody() = default;

  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, ChildBody> && std::invocable<std::decay_t<F>&>)
  ChildBody(F&& body) {  // NOLINT(google-explicit-constructor): a lambda is a body
    using Result = std::invoke_result_t<std::decay_t<F>&>;
    static_assert(std::is_void_v<Result> || std::is_same_v<Result, int> ||
                      std::is_same_v<Result, absl::Status> || std::is_same_v<Result, BodyResult>,
                  "a child's body returns nothing, an int exit code, or an absl::Status");
    std::decay_t<F> copy(std::forward<F>(body));
    if constexpr (requires { static_cast<bool>(copy == nullptr); }) {
      if (copy == nullptr) return;  // a null function pointer, an empty function object
    }
    run_ = [body = std::move(copy)]() mutable -> BodyResult {
      if constexpr (std::is_void_v<Result>) {
        body();
        return {};
      } else if constexpr (std::is_same_v<Result, int>) {
        return {.exit_code = body(), .reason = {}};
      } else if constexpr (std::is_same_v<Result, BodyResult>) {
        return body();
      } else {
        return BodyResult::FromStatus(body());
      }
    };
  }

  explicit operator bool() const { return run_ != nullptr; }
  BodyResult operator()() { return run_(); }

 private:
  absl::AnyInvocable<BodyResult()> run_;
};

}  // namespace ko

#endif  // KO_PROCESS_CHILD_BODY_H_
