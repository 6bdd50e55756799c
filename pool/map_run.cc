#include "ko/pool/map_run.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ko/os/deadline.h"

namespace ko::pool {
namespace {

constexpr size_t kMostChunkBytes = size_t{1} << 20;
// Of quick ones only some are timed; to look at the clock costs as much as some elements.
constexpr uint32_t kMostUntimed = 31;
// Quick chunks that are queued: the worker that is awake takes fewer sooner than another one wakes up.
constexpr uint32_t kWorthWaking = 8;
constexpr size_t kMostQuickAwaited = 4;
constexpr size_t kChunksPerWorker = 2;

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
  for (uint32_t heard = core_.Deaths(); progress_.done < elements_.count;) {
    const size_t before = progress_.done;
    if (options_.interrupt.fired()) {
      Cancel();
    } else if (Refill(); !in_flight_.empty()) {
      Await(heard);
      heard = core_.Deaths();
      Collect();
    }
    if (options_.progress != nullptr && progress_.done != before) options_.progress(progress_);
  }
}

void MapRun::Refill() {
  const size_t most = policy_.Ahead(PoolCore::kMostAwaited);
  while (in_flight_.size() < most) {
    std::optional<Range> range = NextRange();
    if (!range.has_value()) return;
    const size_t bytes = CutToBytes(*range);
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

size_t MapRun::CutToBytes(Range& range) {
  size_t end = range.end;
  const size_t bytes =
      elements_.packed_bytes(range.begin, end, std::min(kMostChunkBytes, core_.max_message_bytes()));
  if (end < range.end) again_.push_front({end, range.end, options_.retries});
  range.end = end;
  return bytes;
}

absl::Status MapRun::Submit(const Range& range, size_t bytes) {
  auto chunk = std::make_unique<Chunk>();
  chunk->range = range;
  const auto pack = [&](absl::Span<char> place) { elements_.pack(range.begin, range.end, place); };
  const bool timed = !policy_.IsQuick() || ++untimed_in_a_row_ > kMostUntimed;
  if (timed) untimed_in_a_row_ = 0;
  const PoolCore::Request request = {.function = function_,
                                     .items = static_cast<uint32_t>(range.end - range.begin),
                                     .argument_bytes = bytes,
                                     .pack = pack,
                                     .timed = timed,
                                     .wakes_later = policy_.IsQuick() && options_.progress == nullptr};
  TaskOptions options = {.time_limit = options_.time_limit};
  if (!in_flight_.empty()) options.room_timeout = absl::ZeroDuration();
  absl::Status status = core_.Submit(request, options, chunk->task);
  if (status.ok()) in_flight_.push_back(std::move(chunk));
  return status;
}

void MapRun::Await(uint32_t heard) {
  core_.WakeForQueued(policy_.IsQuick() ? kWorthWaking : 0);
  std::vector<PendingTask*> tasks;
  const size_t count = in_flight_.size();
  size_t first = 0;
  if (options_.progress == nullptr && next_ == elements_.count && again_.empty()) {
    first = count - 1;
  } else if (options_.progress == nullptr) {
    // The first half of them is not worth a wake-up, where the workers have enough in the other.
    first = std::min(count / 2, count - std::min(count, kChunksPerWorker * core_.workers()));
  }
  // Any of them, as one may take much longer than others. Each costs its worker a wake-up.
  const size_t most = policy_.IsQuick() ? kMostQuickAwaited : PoolCore::kMostAwaited;
  for (size_t i = first; i < count && tasks.size() < most; ++i) tasks.push_back(&in_flight_[i]->task);
  core_.AwaitAny(tasks, os::Deadline::After(absl::InfiniteDuration()), options_.interrupt, heard);
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
  const size_t element = elements_.deliver(range.begin, range.end, results, progress_.failed);
  const size_t ended = element - range.begin;
  progress_.done += ended;
  if (outcome.run_time > absl::ZeroDuration()) policy_.Learn(ended, outcome.run_time);
  if (element == range.end) return;

  Range rest = {element, range.end, options_.retries};
  if (outcome.items_started > ended || ended == 0) {
    // This one ran, or what is told of it makes no sense.
    const int retries_left = ended == 0 ? range.retries_left : options_.retries;
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

void MapRun::Fail(const Range& range, const absl::Status& status) {
  for (size_t element = range.begin; element < range.end; ++element) elements_.fail(element, status);
  progress_.done += range.end - range.begin;
  progress_.failed += range.end - range.begin;
}

}  // namespace ko::pool
