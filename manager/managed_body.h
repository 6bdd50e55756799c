#ifndef KO_MANAGER_MANAGED_BODY_H_
#define KO_MANAGER_MANAGED_BODY_H_

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "ko/manager/served_body.h"
#include "ko/process/child_body.h"

namespace ko {

class Self;

// What a managed process runs: a callable that takes Self& or nothing and returns nothing, an int exit code, or an
// absl::Status. It may run many times, each time in a new process and from the state it had in the parent. Or a function that
// a fork server runs (OnForkServer).
class ManagedBody {
 public:
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, ManagedBody> &&
             !std::same_as<std::remove_cvref_t<F>, ServedBody> &&
             (std::invocable<std::decay_t<F>&, Self&> || std::invocable<std::decay_t<F>&>))
  ManagedBody(F&& body) {  // NOLINT(google-explicit-constructor): a lambda is a body
    if constexpr (std::invocable<std::decay_t<F>&, Self&>) {
      takes_self_ = true;
      std::decay_t<F> copy(std::forward<F>(body));
      if constexpr (requires { static_cast<bool>(copy == nullptr); }) {
        if (copy == nullptr) return;
      }
      run_ = [body = std::move(copy)](Self* self) mutable {
        return ChildBody([&] { return body(*self); })();
      };
    } else {
      ChildBody plain(std::forward<F>(body));
      if (!plain) return;
      run_ = [body = std::move(plain)](Self*) mutable { return body(); };
    }
  }

  ManagedBody(ServedBody served)  // NOLINT(google-explicit-constructor): of OnForkServer
      : takes_self_(served.takes_self) {
    if (served.launch != nullptr) served_.emplace(std::move(served));
  }

  explicit operator bool() const { return run_ != nullptr || served_.has_value(); }
  bool takes_self() const { return takes_self_; }
  // What a fork server runs; null where a copy of the manager's process is to call this.
  const ServedBody* served() const { return served_.has_value() ? &*served_ : nullptr; }
  // `self` may be null where the body takes none.
  BodyResult operator()(Self* self) { return run_(self); }

 private:
  absl::AnyInvocable<BodyResult(Self*)> run_;
  std::optional<ServedBody> served_;
  bool takes_self_ = false;
};

}  // namespace ko

#endif  // KO_MANAGER_MANAGED_BODY_H_
