#ifndef KO_MANAGER_MANAGED_BODY_H_
#define KO_MANAGER_MANAGED_BODY_H_

#include <concepts>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "ko/process/child_body.h"

namespace ko {

class Self;

// What a managed process runs: a callable that takes Self& or nothing and returns nothing, an int exit code, or an
// absl::Status. It may run many times, each time in a new process and from the state it had in the parent.
class ManagedBody {
 public:
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, ManagedBody> &&
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

  explicit operator bool() const { return run_ != nullptr; }
  bool takes_self() const { return takes_self_; }
  // `self` may be null where the body takes none.
  BodyResult operator()(Self* self) { return run_(self); }

 private:
  absl::AnyInvocable<BodyResult(Self*)> run_;
  bool takes_self_ = false;
};

}  // namespace ko

#endif  // KO_MANAGER_MANAGED_BODY_H_
