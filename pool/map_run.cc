#include "ko/pool/map_run.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "ko/os/deadline.h"

namespace ko::pool {
namespace {

constexpr size_t kMostChunkBytes = size_t{1} << 20;
// As many as can be waited for together; of quick ones so many that all are seldom done at once.
constexpr size_t kMostChunks = PoolCore::kMostAwaited;
constexpr size_t kMostQuickChunks = 768;

}  // namespace

MapRun::MapRun(PoolCore& core, TaskFunction function, const MapElements& elements, MapOptions& options)
    : core_(core),
      function_(function),
      elements_(elements),
      options_(options),
      policy_(core.workers(), options.chunk) {
  progress_.total = elements.count;
}

MapRun::~MapRun() {
  for (const std::unique_ptr<Chunk>& chunk : in_flight_) {
    if (chunk != nullptr) core_.Drop(chunk->task);
  }
}

void MapRun::Run() {
  while (progress_.done < elements_.count) {
    const size_t before = progress_.done;
    if (options_.interrupt.fired()) {
      Cancel();
    } else if (Refill(); !in_flight_.empty()) {
      Await();
      Collect();
    }
    if (options_.progress != nullptr && progress_.done != before) options_.progress(progress_);
  }
}

void MapRun::Refill() {
  const size_t most = policy_.IsQuick() ? kMostQuickChunks : kMostChunks;
  while (in_flight_.size() < most) {
    std::optional<Range> range = NextRange();
    if (!range.has_value()) return;
    size_t bytes = 0;
    CutToBytes(*range, bytes);
    const absl::Status submitted = Submit(*range, bytes);
    if (submitted.ok()) continue;
    if (absl::IsResourceExhausted(submitted) && !in_flight_.empty()) {
      again_.push_front(*range);  // later, when one of ours has made room
      return;
    }
    Fail(*range, submitted);
  }
}

std::optional<MapRun::Range> MapRun::NextRange() {
  if (!again_.empty()) {
    const Range range = again_.front();
    again_.pop_front();
    return range;
  }
  const size_t chunk = policy_.Next(elements_.count - next_);
  if (chunk == 0) return std::nullopt;
  const Range range = {next_, next_ + chunk, options_.retries};
  next_ += chunk;
  return range;
}

void MapRun::CutToBytes(Range& range, size_t& bytes) {
  const size_t most = std::min(kMostChunkBytes, core_.max_message_bytes());
  bytes = elements_.packed_bytes(range.begin);
  for (size_t element = range.begin + 1; element < range.end; ++element) {
    const size_t more = elements_.packed_bytes(element);
    if (bytes + more > most) {
      again_.push_front({element, range.end, options_.retries});
      range.end = element;
      return;
    }
    bytes += more;
  }
}

absl::Status MapRun::Submit(const Range& range, size_t bytes) {
  auto chunk = std::make_unique<Chunk>();
  chunk->range = range;
  const auto pack = [&](absl::Span<char> place) {
    for (size_t element = range.begin; element < range.end; ++element) {
      const size_t element_bytes = elements_.packed_bytes(element);
      elements_.pack(element, place.first(element_bytes));
      place.remove_prefix(element_bytes);
    }
  };
  const PoolCore::Request request = {.function = function_,
                                     .items = static_cast<uint32_t>(range.end - range.begin),
                                     .argument_bytes = bytes,
                                     .pack = pack,
                                     .timed = true};
  TaskOptions options = {.time_limit = options_.time_limit};
  if (!in_flight_.empty()) options.room_timeout = absl::ZeroDuration();
  absl::Status status = core_.Submit(request, options, chunk->task);
  if (status.ok()) in_flight_.push_back(std::move(chunk));
  return status;
}

void MapRun::Await() {
  // Where chunks take less than a wake-up does, the first half of them is not worth one: the workers have the other.
  const size_t skipped = policy_.IsQuick() ? in_flight_.size() / 2 : 0;
  std::vector<PendingTask*> tasks;
  for (size_t i = skipped; i < in_flight_.size() && tasks.size() < PoolCore::kMostAwaited; ++i)
    tasks.push_back(&in_flight_[i]->task);
  core_.AwaitAny(tasks, os::Deadline::After(absl::InfiniteDuration()), options_.interrupt);
}

void MapRun::Cancel() {
  options_.retries = 0;
  // All before the first is waited for: workers take the others of them meanwhile.
  for (const std::unique_ptr<Chunk>& chunk : in_flight_) core_.Cancel(chunk->task);
  while (!in_flight_.empty()) {
    PendingTask* const first = &in_flight_.front()->task;
    core_.AwaitAny({&first, 1}, os::Deadline::After(absl::InfiniteDuration()));
    Collect();
  }
  const absl::Status cancelled = absl::CancelledError("the Map was interrupted");
  for (const Range& range : again_) Fail(range, cancelled);
  again_.clear();
  Fail({next_, elements_.count, 0}, cancelled);
  next_ = elements_.count;
}

void MapRun::Collect() {
  for (std::unique_ptr<Chunk>& chunk : in_flight_) {
    if (!core_.IsDone(chunk->task)) continue;
    core_.Take(chunk->task, [&](const TaskOutcome& outcome) { Collect(chunk->range, outcome); });
    chunk.reset();
  }
  std::erase(in_flight_, nullptr);
}

void MapRun::Collect(const Range& range, const TaskOutcome& outcome) {
  std::string_view results = outcome.results;
  size_t element = range.begin;
  while (element < range.end) {
    const std::optional<ItemResult> result = TakeItemResult(results);
    if (!result.has_value()) break;
    Deliver(element++, *result);
  }
  policy_.Learn(element - range.begin, outcome.run_time);
  if (element == range.end) return;

  Range rest = {element, range.end, options_.retries};
  if (outcome.items_started > element - range.begin || element == range.begin) {
    // This one ran, or what is told of it makes no sense.
    const int retries_left = element == range.begin ? range.retries_left : options_.retries;
    if (retries_left > 0 && absl::IsAborted(outcome.end)) {
      again_.push_back({element, element + 1, retries_left - 1});
    } else {
      Fail({element, element + 1, 0},
           outcome.end.ok() ? absl::DataLossError("the task's result has been overwritten") : outcome.end);
    }
    ++rest.begin;
  }
  if (rest.begin < rest.end) again_.push_front(rest);
}

void MapRun::Deliver(size_t element, const ItemResult& result) {
  elements_.deliver(element, result);
  ++progress_.done;
  if (result.code != absl::StatusCode::kOk) ++progress_.failed;
}

void MapRun::Fail(const Range& range, const absl::Status& status) {
  for (size_t element = range.begin; element < range.end; ++element) {
    Deliver(element, {status.code(), status.message()});
  }
}

}  // namespace ko::pool
