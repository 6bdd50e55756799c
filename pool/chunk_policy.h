#ifndef KO_POOL_CHUNK_POLICY_H_
#define KO_POOL_CHUNK_POLICY_H_

#include <cstddef>

#include "absl/time/time.h"

namespace ko::pool {

// How many elements of a Map are handed to a worker at once. Pure.
//
// Many, so that handing over costs little beside the work; few, so that all workers end at about the same time and a
// progress display moves. So: as many as take kChunkTime, as far as the elements so far tell, and never more than each
// worker's fair share of what is left, several times over; a few at first, when nothing is known.
class ChunkPolicy {
 public:
  // `fixed`: the caller's choice, 0 for none.
  ChunkPolicy(size_t workers, size_t fixed) : workers_(workers), fixed_(fixed) {}

  // At least 1, at most `left`; 0 where nothing is left.
  size_t Next(size_t left) const;

  // How many chunks may be with the workers at once, of which `awaitable` can be waited for together.
  size_t Ahead(size_t awaitable) const;

  // So many elements took a worker so long.
  void Learn(size_t elements, absl::Duration time);

  // Whether so far the caller's chunks take less than it takes to wake somebody.
  bool IsQuick() const;

 private:
  const size_t workers_;
  const size_t fixed_;
  double seconds_per_element_ = 0;
  bool knows_ = false;
};

}  // namespace ko::pool

#endif  // KO_POOL_CHUNK_POLICY_H_
