#include "ko/process/report_slots.h"

#include <sys/single_threaded.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "ko/os/fork_handlers.h"
#include "ko/os/process_mark.h"
#include "ko/os/shared_mapping.h"

namespace ko {
namespace {

// The words that say whether there are reports fill a mapping's first page, so that looking at them touches no other. The
// reports follow in the same order, a page each.
constexpr size_t kMostInAMapping = ChildReport::kBytes / sizeof(std::atomic<uint32_t>);
constexpr size_t kFewestInAMapping = ReportSlots::kKeptBytes / ChildReport::kBytes - 1;

// Guards all pools of this process.
constinit std::mutex mutex;

// Not taken by a thread that is the only one: what a process writes to after a fork it has to copy first.
std::unique_lock<std::mutex> Lock() {
  os::KeepLockFromChildren<mutex>();
  return __libc_single_threaded ? std::unique_lock<std::mutex>() : std::unique_lock(mutex);
}

}  // namespace

class ReportSlot::Pool {
 public:
  // Empty at first.
  static std::shared_ptr<Pool> Find(std::shared_ptr<Pool> pool) {
    if (pool == nullptr || !pool->IsOurs()) pool = std::make_shared<Pool>();
    return pool;
  }

  bool IsSmall() const { return mappings_.size() <= 1; }

  static absl::StatusOr<ReportSlot> Allocate(const std::shared_ptr<Pool>& pool) {
    if (pool->free_.empty()) {
      if (absl::Status grown = pool->Grow(); !grown.ok()) return grown;
    }
    if (pool->given_.fetch_add(1, std::memory_order_relaxed) == 0) pool->self_ = pool;
    std::atomic<uint32_t>* const told = pool->free_.back();
    pool->free_.pop_back();
    return ReportSlot(pool.get(), told);
  }

  bool IsOurs() const { return process_mark_ == os::ProcessMark(); }

  // The last one takes the pool along where nobody else has it, and need not touch its pages any more.
  void GiveBack(const ReportSlot& slot) {
    const std::shared_ptr<Pool> last = Leave();
    if (last.use_count() == 1) return;
    if (slot.told_->exchange(0, std::memory_order_acquire) != 0)
      slot.report().Clear();  // pairs with ForkedChild
    free_.push_back(slot.told_);
  }

  // One slot is no longer there; what keeps this alive, where it was the last one.
  std::shared_ptr<Pool> Leave() {
    return given_.fetch_sub(1, std::memory_order_acq_rel) == 1 ? std::move(self_) : nullptr;
  }

 private:
  absl::Status Grow() {
    const size_t slots = std::min(kMostInAMapping, std::max(kFewestInAMapping, 4 * slots_));
    absl::StatusOr<os::SharedMapping> mapping =
        os::SharedMapping::CreateSparse((1 + slots) * ChildReport::kBytes);
    if (!mapping.ok()) return mapping.status();
    auto* const told = static_cast<std::atomic<uint32_t>*>(mapping->data());
    slots_ += slots;
    free_.reserve(slots_);  // at once, so that no smaller ones leave holes behind
    for (size_t i = slots; i-- > 0;) free_.push_back(told + i);
    mappings_.push_back(*std::move(mapping));
    return absl::OkStatus();
  }

  const uint64_t process_mark_ = os::ProcessMark();
  size_t slots_ = 0;
  std::vector<os::SharedMapping> mappings_;
  std::vector<std::atomic<uint32_t>*> free_;
  std::atomic<size_t> given_{0};  // slots that somebody has
  std::shared_ptr<Pool> self_;    // while there are some
};

ReportSlot::~ReportSlot() {
  if (told_ == nullptr) return;
  if (!pool_->IsOurs()) {  // where the lock may be held for ever
    pool_->Leave();
    return;
  }
  const std::unique_lock<std::mutex> lock = Lock();
  pool_->GiveBack(*this);
}

ChildReport& ReportSlot::report() const {
  const size_t index = reinterpret_cast<uintptr_t>(told_) % ChildReport::kBytes / sizeof *told_;
  char* const words = reinterpret_cast<char*>(told_ - index);
  return *reinterpret_cast<ChildReport*>(words + (1 + index) * ChildReport::kBytes);
}

ExitStatus ReportSlot::Complete(ExitStatus status) const {
  if (told_->load(std::memory_order_acquire) == 0) return status;  // pairs with ForkedChild
  return report().Complete(std::move(status));
}

absl::StatusOr<ReportSlot> ReportSlots::Allocate() {
  const std::unique_lock<std::mutex> lock = Lock();
  pool_ = ReportSlot::Pool::Find(std::move(pool_));
  return ReportSlot::Pool::Allocate(pool_);
}

absl::StatusOr<ReportSlot> ReportSlots::AllocateAlone() {
  struct Shared {
    std::weak_ptr<ReportSlot::Pool> pool;
    std::shared_ptr<ReportSlot::Pool>
        kept;  // the same while it is small, so that one fork after the other maps nothing
  };
  static auto& shared = *new Shared;  // never destroyed: a static object's destructor may fork
  const std::unique_lock<std::mutex> lock = Lock();
  std::shared_ptr<ReportSlot::Pool> pool = ReportSlot::Pool::Find(shared.pool.lock());
  absl::StatusOr<ReportSlot> slot = ReportSlot::Pool::Allocate(pool);
  shared.pool = pool;
  shared.kept = pool->IsSmall() ? std::move(pool) : nullptr;
  return slot;
}

}  // namespace ko
