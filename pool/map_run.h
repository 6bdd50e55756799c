#ifndef KO_POOL_MAP_RUN_H_
#define KO_POOL_MAP_RUN_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ko/pool/chunk_policy.h"
#include "ko/pool/pool_core.h"
#include "ko/pool/pool_options.h"
#include "ko/pool/task_run.h"

namespace ko::pool {

// The elements of a Map, without their types; many at each call.
struct MapElements {
  size_t count;
  // How many bytes those of [begin, end) take that take at most `most`, and at least the first. `end` becomes theirs.
  absl::FunctionRef<size_t(size_t begin, size_t& end, size_t most)> packed_bytes;
  absl::FunctionRef<void(size_t begin, size_t end, absl::Span<char> place)> pack;
  // Takes their results off the front of `results`; the first that has none there. Counts those that are errors.
  absl::FunctionRef<size_t(size_t begin, size_t end, std::string_view& results, size_t& failed)> deliver;
  absl::FunctionRef<void(size_t element, const absl::Status& error)> fail;
};

// One Map: hands the elements to the workers in chunks, always some ahead of them, and collects the results. Where a worker
// died in a chunk, the elements that had ended keep their results, the one that ran is lost or tried again, and the others
// are handed out anew.
//
// Threads: one; several Maps may run in a pool at once.
// Fork: none. Signals: none.
// Crash: see above.
// Errors: an element's own, and what Submit failed with.
class MapRun {
 public:
  MapRun(PoolCore& core, TaskFunction function, const MapElements& elements, MapOptions& options);
  MapRun(const MapRun&) = delete;
  ~MapRun();
  // What an element throws when it is read, or the user's progress, comes out; what was handed out goes on and is dropped.
  void Run();

 private:
  struct Range {
    size_t begin, end;
    int retries_left;
  };
  struct Chunk {
    Range range;
    PendingTask task;
  };

  void Refill();
  // Hands out so many chunks at most. False where there is none left, or no room for them.
  bool SubmitSome(size_t most);
  std::optional<Range> NextRange();
  // Cuts it to what is reasonable to copy at once, and tells that; the rest is left to be done.
  size_t CutToBytes(Range& range);
  std::unique_ptr<Chunk> NewChunk(const Range& range);
  bool IsToBeTimed();
  // Sleeps until it is worth a look what is done. `heard`: PoolCore::Deaths, from before the last one.
  void Await(uint32_t heard);
  // Ends what runs, and gives up the rest.
  void Cancel();
  void Collect();
  void Take(absl::InlinedVector<size_t, PoolCore::kMostParts>& done);
  void Collect(const Range& range, const TaskOutcome& outcome);
  void Fail(const Range& range, const absl::Status& status);

  PoolCore& core_;
  const TaskFunction function_;
  const MapElements& elements_;
  MapOptions& options_;
  ChunkPolicy policy_;
  size_t next_ = 0;                               // the first element that was not handed out
  std::deque<Range> again_;                       // and those that are to be once more
  std::deque<std::unique_ptr<Chunk>> in_flight_;  // in the order in which they were submitted
  std::vector<std::unique_ptr<Chunk>> unused_;    // for the next ones
  uint32_t untimed_in_a_row_ = 0;
  MapProgress progress_;
};

}  // namespace ko::pool

#endif  // KO_POOL_MAP_RUN_H_
