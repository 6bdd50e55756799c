#include "ko/pool/chunk_policy.h"

#include <algorithm>

namespace ko::pool {
namespace {

// A hundred times what handing over a chunk takes with a sleeper to be woken at each end.
constexpr double kChunkSeconds = 0.005;
constexpr double kQuickSeconds = 0.0001;
// What is left is divided into so many chunks for each worker at least.
constexpr size_t kSharesPerWorker = 4;
constexpr size_t kFirstElements = 8;
// Chunks ahead, where their size is ours: so few that the same memory is used again and again, and that little is handed out
// before it is known how long an element takes; so many that the workers have enough while the caller sleeps. Of others as many as
// can be waited for together, and of quick ones so many that all are seldom done at once.
constexpr size_t kAheadPerWorker = 8;
constexpr size_t kFewestAhead = 16;
constexpr size_t kQuickAhead = 768;
// Of two estimates the newer one counts so much.
constexpr double kNewest = 0.5;

}  // namespace

size_t ChunkPolicy::Next(size_t left) const {
  if (left == 0) return 0;
  if (fixed_ != 0) return std::min(fixed_, left);
  const size_t share = std::max<size_t>(1, left / (workers_ * kSharesPerWorker));
  if (!knows_) return std::min(share, kFirstElements);
  const double fitting = kChunkSeconds / std::max(seconds_per_element_, 1e-12);
  if (fitting >= static_cast<double>(share)) return share;
  return std::max<size_t>(1, static_cast<size_t>(fitting));
}

size_t ChunkPolicy::Ahead(size_t awaitable) const {
  if (IsQuick()) return kQuickAhead;
  return fixed_ != 0 ? awaitable : std::clamp(kAheadPerWorker * workers_, kFewestAhead, awaitable);
}

bool ChunkPolicy::IsQuick() const {
  return knows_ && fixed_ != 0 && seconds_per_element_ * static_cast<double>(fixed_) < kQuickSeconds;
}

void ChunkPolicy::Learn(size_t elements, absl::Duration time) {
  if (elements == 0 || time < absl::ZeroDuration()) return;
  const double seconds = absl::ToDoubleSeconds(time) / static_cast<double>(elements);
  seconds_per_element_ = knows_ ? kNewest * seconds + (1 - kNewest) * seconds_per_element_ : seconds;
  knows_ = true;
}

}  // namespace ko::pool
