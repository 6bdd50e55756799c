#ifndef KO_POOL_TASK_FUNCTION_H_
#define KO_POOL_TASK_FUNCTION_H_

#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/base/config.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ko/pool/task_run.h"
#include "ko/process/arguments.h"
#include "ko/process/exception_status.h"

namespace ko::pool {

// What a function's result is once errors are taken apart from it: void for void and absl::Status.
template <class R>
struct ResultValue {
  using Type = PackedAs<R>;
};
template <>
struct ResultValue<void> {
  using Type = void;
};
template <>
struct ResultValue<absl::Status> {
  using Type = void;
};
template <class T>
struct ResultValue<absl::StatusOr<T>> {
  using Type = PackedAs<T>;
};

// Of a function whose pointer is P.
template <class P>
struct FunctionTraits {
  static_assert(
      !std::is_same_v<P, P>,
      "A task is a function or a lambda that captures nothing: pool.Submit<&Function>(arguments...).");
};
template <class R, class... Params>
struct FunctionTraits<R (*)(Params...)> {
  static_assert(((!std::is_lvalue_reference_v<Params> || std::is_const_v<std::remove_reference_t<Params>>) &&
                 ...),
                "A task runs in another process: it cannot change what its caller passes by reference.");
  using Value = typename ResultValue<std::decay_t<R>>::Type;
  using Arguments = std::tuple<PackedAs<Params>...>;
};
template <class R, class... Params>
struct FunctionTraits<R (*)(Params...) noexcept> : FunctionTraits<R (*)(Params...)> {};

template <auto function>
using TraitsOf = FunctionTraits<decltype(+function)>;

template <class T>
void EndItemWith(TaskRun& run, const T& result) {
  run.EndItem(PackedBytes(result), [&result](absl::Span<char> place) {
    internal::ArgumentWriter writer(place);
    internal::ArgumentCodec<T>::Write(writer, result);
  });
}
inline void EndItemWith(TaskRun& run, const absl::Status& result) {
  if (!result.ok()) return run.FailItem(result);
  run.EndItem(0, [](absl::Span<char>) {});
}
template <class T>
void EndItemWith(TaskRun& run, const absl::StatusOr<T>& result) {
  if (!result.ok()) return run.FailItem(result.status());
  EndItemWith(run, *result);
}

template <auto function, class... Values>
void RunItem(TaskRun& run, std::tuple<Values...> arguments) {
  if constexpr (std::is_void_v<decltype(std::apply(function, std::move(arguments)))>) {
    std::apply(function, std::move(arguments));
    EndItemWith(run, absl::OkStatus());
  } else {
    EndItemWith(run, std::apply(function, std::move(arguments)));
  }
}

template <class>
struct ReadArguments;
template <class... Values>
struct ReadArguments<std::tuple<Values...>> {
  // Braces: from left to right.
  static std::tuple<Values...> From(internal::ArgumentReader& reader) {
    return std::tuple<Values...>{internal::ArgumentCodec<Values>::Read(reader)...};
  }
};

// Runs all items of a task in the worker: the TaskFunction of `function`.
template <auto function>
void RunTask(TaskRun& run) {
  while (run.StartItem()) {
    auto arguments = ReadArguments<typename TraitsOf<function>::Arguments>::From(run.arguments());
    if (!run.arguments().ok()) {
      run.FailItem(absl::DataLossError("the task's arguments have been overwritten"));
      continue;
    }
#ifdef ABSL_HAVE_EXCEPTIONS
    try {
      RunItem<function>(run, std::move(arguments));
    } catch (...) {
      run.FailItem(StatusOfCurrentException());
    }
#else
    RunItem<function>(run, std::move(arguments));
#endif
  }
}

// An argument as the function's parameter has it: itself where it is packed the same, else converted.
template <class Value, class Argument>
decltype(auto) AsPacked(const Argument& argument) {
  if constexpr (std::is_same_v<PackedAs<Argument>, Value>) {
    return (argument);
  } else {
    static_assert(std::is_convertible_v<const Argument&, Value>,
                  "A task's arguments are those of its function, or can be converted to them.");
    return Value(argument);
  }
}

}  // namespace ko::pool

#endif  // KO_POOL_TASK_FUNCTION_H_
