#include "ko/pool/map_run.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
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
// So many chunks before it is looked at, a chunk's state is on its way to this processor.
constexpr size_t kTakenAhead = 4;

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
    // Several at once take longer to come to the first worker.
    const size_t together = policy_.IsQuick() ? PoolCore::kMostParts : 1;
    if (!SubmitSome(std::min(together, most - in_flight_.size()))) return;
  }
}

bool MapRun::SubmitSome(size_t most) {
  absl::InlinedVector<std::unique_ptr<Chunk>, PoolCore::kMostParts> chunks;
  absl::InlinedVector<PoolCore::Part, PoolCore::kMostParts> parts;
  while (chunks.size() < most) {
    std::optional<Range> range = NextRange();
    if (!range.has_value()) break;
    const size_t bytes = CutToBytes(*range);
    chunks.push_back(NewChunk(*range));
    parts.push_back({.task = &chunks.back()->task,
                     .items = static_cast<uint32_t>(range->end - range->begin),
                     .argument_bytes = bytes,
                     .timed = IsToBeTimed()});
  }
  if (chunks.empty()) return false;

  TaskOptions options = {.time_limit = options_.time_limit};
  if (!in_flight_.empty()) options.room_timeout = absl::ZeroDuration();
  const auto pack = [&](size_t i, absl::Span<char> place) {
    elements_.pack(chunks[i]->range.begin, chunks[i]->range.end, place);
  };
  const absl::StatusOr<size_t> submitted =
      core_.Submit({.function = function_,
                    .parts = parts,
                    .pack = pack,
                    .wakes_later = policy_.IsQuick() && options_.progress == nullptr},
                   options);
  // Later, when one of ours has made room.
  const bool has_room = !absl::IsResourceExhausted(submitted.status()) || in_flight_.empty();
  size_t settled = submitted.value_or(0);
  for (size_t i = 0; i < settled; ++i) in_flight_.push_back(std::move(chunks[i]));
  if (!submitted.ok() && has_room) Fail(chunks[settled++]->range, submitted.status());
  while (chunks.size() > settled) {
    again_.push_front(chunks.back()->range);
    chunks.pop_back();
  }
  return has_room;
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

std::unique_ptr<MapRun::Chunk> MapRun::NewChunk(const Range& range) {
  std::unique_ptr<Chunk> chunk;
  if (unused_.empty()) {
    chunk = std::make_unique<Chunk>();
  } else {
    chunk = std::move(unused_.back());
    unused_.pop_back();
  }
  chunk->range = range;
  return chunk;
}

bool MapRun::IsToBeTimed() {
  if (policy_.IsQuick() && ++untimed_in_a_row_ <= kMostUntimed) return false;
  untimed_in_a_row_ = 0;
  return true;
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
  absl::InlinedVector<size_t, PoolCore::kMostParts> done;
  for (size_t i = 0; i < in_flight_.size(); ++i) {
    if (i + kTakenAhead < in_flight_.size()) core_.Prefetch(in_flight_[i + kTakenAhead]->task);
    if (!core_.IsDone(in_flight_[i]->task)) continue;
    done.push_back(i);
    if (done.size() == PoolCore::kMostParts) Take(done);
  }
  if (!done.empty()) Take(done);
  std::erase(in_flight_, nullptr);
}

// Empties the list.
void MapRun::Take(absl::InlinedVector<size_t, PoolCore::kMostParts>& done) {
  absl::InlinedVector<PendingTask*, PoolCore::kMostParts> tasks;
  for (const size_t i : done) tasks.push_back(&in_flight_[i]->task);
  core_.Take(tasks, [&](size_t i, const TaskOutcome& outcome) {
    std::unique_ptr<Chunk>& chunk = in_flight_[done[i]];
    Collect(chunk->range, outcome);
    unused_.push_back(std::move(chunk));
  });
  done.clear();
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
