#ifndef KO_POOL_PROCESS_POOL_H_
#define KO_POOL_PROCESS_POOL_H_

#include <sys/types.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <ranges>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/pool/future.h"
#include "ko/pool/map_run.h"
#include "ko/pool/pool_core.h"
#include "ko/pool/pool_options.h"
#include "ko/pool/task_function.h"
#include "ko/pool/task_run.h"
#include "ko/process/argument_codec.h"
#include "ko/process/arguments.h"

namespace ko {

// Runs functions in worker processes, with arguments and results of their own types.
//
//   absl::StatusOr<uint64_t> CountLines(const std::string& path);
//
//   absl::StatusOr<ko::ProcessPool> pool = ko::ProcessPool::Create();
//   if (!pool.ok()) return pool.status();
//   ko::Future<uint64_t> lines = pool->Submit<&CountLines>("/etc/passwd");
//   absl::StatusOr<uint64_t> count = lines.Get();
//   std::vector<absl::StatusOr<uint64_t>> counts = pool->Map<&CountLines>(paths, {.progress = ko::ProgressLine("files")});
//
// A task is a function, or a lambda that captures nothing, of this program as it was when the pool was made. Arguments and
// results are values that Pack takes (process/arguments.h); a result may also be void, absl::Status or absl::StatusOr. They
// cross in shared memory, packed and unpacked right there. A worker runs one task at a time, the oldest first.
//
// A worker that dies in a task (a crash, a kill, exit()) costs that task and nothing else, and is replaced.
//
// The workers are forked from a process that Create forks, and never from the caller: what they know of the program is what
// was there then, and the caller may start threads and grow as it likes. Submitting and collecting take a fraction of a
// microsecond where nobody sleeps; an idle pool makes no system call.
//
// `ps -o comm` and top show the workers as "ko-worker 0" and so on, and the process that forks them as "ko-pool".
//
// Destruction: as Stop; call Finish first where the tasks matter.
//
// Threads: any number may use one pool; none while it is moved or destroyed.
//
// Fork: a child of the process that made it cannot use it: FailedPrecondition.
//
// Signals: waiting goes on after one. The workers leave Ctrl-C to this process.
//
// Crash: see above. When the process that made the pool dies, its workers are killed. When the supervising process between
// them is killed, so are the workers; what was not done is Aborted, and so is all that is submitted after.
//
// Errors: see each, and Future::Get.
class ProcessPool {
 public:
  // Errors: InvalidArgument for options beyond all reason; those of Fork, FailedPrecondition in a process with threads among
  // them; ResourceExhausted without memory, address space or descriptors; what `warm_up` returned.
  static absl::StatusOr<ProcessPool> Create(PoolOptions options = {}) {
    absl::StatusOr<std::shared_ptr<pool::PoolCore>> core = pool::PoolCore::Create(std::move(options));
    if (!core.ok()) return core.status();
    return ProcessPool(*std::move(core));
  }
  ProcessPool(ProcessPool&&) noexcept = default;
  ProcessPool& operator=(ProcessPool&& other) noexcept {
    ProcessPool old(std::move(*this));
    core_ = std::move(other.core_);
    return *this;
  }
  ~ProcessPool() {
    if (core_ != nullptr) core_->Stop();
  }

  // Queues a call of the function; waits where PoolOptions::capacity tasks are not finished. The future has what goes wrong:
  // InvalidArgument for arguments longer than PoolOptions::max_message_bytes, ResourceExhausted after
  // TaskOptions::room_timeout, FailedPrecondition after Finish and Stop.
  template <auto function, class... Args>
  auto Submit(const Args&... args) {
    return Submit<function>(TaskOptions(), args...);
  }
  template <auto function, class... Args>
  Future<typename pool::TraitsOf<function>::Value> Submit(const TaskOptions& options, const Args&... args) {
    using Arguments = typename pool::TraitsOf<function>::Arguments;
    static_assert(sizeof...(Args) == std::tuple_size_v<Arguments>,
                  "A task has as many arguments as its function.");
    return [&]<size_t... I>(std::index_sequence<I...>) {
      return SubmitPacked<function>(options, pool::AsPacked<std::tuple_element_t<I, Arguments>>(args)...);
    }(std::index_sequence_for<Args...>());
  }

  // Calls the function for each element of a range (a vector, a span, std::views::iota: random access) and returns the
  // results in the elements' order. For a function of several arguments an element is a std::tuple or std::pair of them.
  template <auto function, std::ranges::random_access_range Range>
    requires std::ranges::sized_range<Range>
  std::vector<pool::StatusOrVoid<typename pool::TraitsOf<function>::Value>> Map(Range&& range,
                                                                                MapOptions options = {}) {
    using Value = typename pool::TraitsOf<function>::Value;
    const size_t count = static_cast<size_t>(std::ranges::size(range));
    if (core_ == nullptr) return std::vector<pool::StatusOrVoid<Value>>(count, MovedFrom());
    // Each is replaced. This one costs no allocation.
    std::vector<pool::StatusOrVoid<Value>> results(count, absl::Status(absl::StatusCode::kUnknown, ""));
    const auto begin = std::ranges::begin(range);
    const auto element = [&begin](size_t i) -> decltype(auto) {
      return begin[static_cast<std::ranges::range_difference_t<Range>>(i)];
    };
    using Element = std::ranges::range_value_t<Range>;
    // Whether the elements are packed as they lie there, in a row.
    constexpr bool kInRow = std::ranges::contiguous_range<Range> && internal::PackedAsItLies<Element> &&
                            std::is_same_v<typename pool::TraitsOf<function>::Arguments, std::tuple<Element>>;
    const auto packed_bytes = [&](size_t first, size_t& end, size_t most) {
      if constexpr (kInRow) {
        end = std::min(end, first + std::max<size_t>(1, most / sizeof(Element)));
        return (end - first) * sizeof(Element);
      }
      size_t bytes = 0;
      for (size_t i = first; i < end; ++i) {
        const size_t more =
            WithArguments<function>(element(i), [](const auto&... args) { return PackedBytes(args...); });
        if (i > first && more > most - std::min(bytes, most)) {
          end = i;
          break;
        }
        bytes += more;
      }
      return bytes;
    };
    const auto pack = [&](size_t first, size_t end, absl::Span<char> place) {
      if constexpr (kInRow) {
        std::memcpy(place.data(), std::ranges::data(range) + first, place.size());
        return;
      }
      for (size_t i = first; i < end; ++i) {
        const absl::StatusOr<size_t> packed = WithArguments<function>(
            element(i), [place](const auto&... args) { return PackInto(place, args...); });
        place.remove_prefix(packed.value_or(place.size()));
      }
    };
    const auto deliver = [&](size_t first, size_t end, std::string_view& bytes, size_t& failed) {
      for (; first < end; ++first) {
        const std::optional<pool::ItemResult> item = pool::TakeItemResult(bytes);
        if (!item.has_value()) break;
        pool::PutResult<Value>(*item, results[first]);
        if (item->code != absl::StatusCode::kOk) ++failed;
      }
      return first;
    };
    const auto fail = [&](size_t i, const absl::Status& error) { results[i] = error; };
    const pool::MapElements elements = {count, packed_bytes, pack, deliver, fail};
    pool::MapRun(*core_, &pool::RunTask<function>, elements, options).Run();
    return results;
  }

  // Takes no more tasks, waits until all are done, and ends the workers. Errors: DeadlineExceeded when `timeout` is over: the
  // rest is ended as by Stop; Aborted where the supervisor has died.
  absl::Status Finish(absl::Duration timeout = absl::InfiniteDuration()) {
    return core_ == nullptr ? MovedFrom() : core_->Finish(timeout);
  }

  // Ends the workers now. What is not done is Cancelled.
  void Stop() {
    if (core_ != nullptr) core_->Stop();
  }

  size_t workers() const { return core_ == nullptr ? 0 : core_->workers(); }
  // For a look at them from outside; a worker that is being replaced is missing.
  std::vector<pid_t> WorkerPids() const {
    return core_ == nullptr ? std::vector<pid_t>() : core_->WorkerPids();
  }
  pid_t supervisor_pid() const { return core_ == nullptr ? 0 : core_->supervisor_pid(); }

 private:
  explicit ProcessPool(std::shared_ptr<pool::PoolCore> core) : core_(std::move(core)) {}

  static absl::Status MovedFrom() {
    return absl::FailedPreconditionError("ProcessPool: it has been moved from");
  }

  template <auto function, class... Args>
  Future<typename pool::TraitsOf<function>::Value> SubmitPacked(const TaskOptions& options,
                                                                const Args&... args) {
    using Value = typename pool::TraitsOf<function>::Value;
    if (core_ == nullptr) return Future<Value>(MovedFrom());
    auto task = std::make_unique<pool::PendingTask>();
    const pool::PoolCore::Part part = {.task = task.get(), .argument_bytes = PackedBytes(args...)};
    const auto pack = [&](size_t, absl::Span<char> place) { PackInto(place, args...).IgnoreError(); };
    const absl::StatusOr<size_t> submitted =
        core_->Submit({.function = &pool::RunTask<function>, .parts = {&part, 1}, .pack = pack}, options);
    if (!submitted.ok()) return Future<Value>(submitted.status());
    return Future<Value>(core_, std::move(task));
  }

  // Calls `use` with the function's arguments that an element is.
  template <auto function, class Element, class Use>
  static auto WithArguments(const Element& element, Use use) {
    using Arguments = typename pool::TraitsOf<function>::Arguments;
    if constexpr (std::tuple_size_v<Arguments> == 1) {
      return use(pool::AsPacked<std::tuple_element_t<0, Arguments>>(element));
    } else {
      static_assert(std::tuple_size_v<Element> == std::tuple_size_v<Arguments>,
                    "An element of the range has as many parts as the function has arguments.");
      return [&]<size_t... I>(std::index_sequence<I...>) {
        return use(pool::AsPacked<std::tuple_element_t<I, Arguments>>(std::get<I>(element))...);
      }(std::make_index_sequence<std::tuple_size_v<Arguments>>());
    }
  }

  std::shared_ptr<pool::PoolCore> core_;  // null when moved from
};

}  // namespace ko

#endif  // KO_POOL_PROCESS_POOL_H_
