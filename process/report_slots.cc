#include "ko/process/report_slots.h"

#include <sys/single_threaded.h>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "ko/os/fork_handlers.h"
#include "ko/os/process_mark.h"
#include "ko/os/shared_mapping.h"

namespace ko {
namespace {

// The words that say whether there are reports fill a mapping's first page, so that looking at them touches no other.
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
  bool IsOurs() const { return process_mark_ == os::ProcessMark(); }

  static absl::StatusOr<ReportSlot> Allocate(const std::shared_ptr<Pool>& pool) {
    if (pool->free_.empty()) {
      if (absl::Status grown = pool->Grow(); !grown.ok()) return grown;
    }
    const auto [report, told] = pool->free_.back();
    pool->free_.pop_back();
    return ReportSlot(pool, report, told);
  }

  void GiveBack(ChildReport* report, std::atomic<uint32_t>* told) {
    if (told->exchange(0, std::memory_order_acquire) != 0) report->Clear();  // pairs with ForkedChild
    free_.emplace_back(report, told);
  }

 private:
  absl::Status Grow() {
    const size_t slots = std::min(kMostInAMapping, std::max(kFewestInAMapping, 4 * slots_));
    absl::StatusOr<os::SharedMapping> mapping =
        os::SharedMapping::CreateSparse((1 + slots) * ChildReport::kBytes);
    if (!mapping.ok()) return mapping.status();
    auto* const told = static_cast<std::atomic<uint32_t>*>(mapping->data());
    char* const reports = static_cast<char*>(mapping->data()) + ChildReport::kBytes;
    for (size_t i = slots; i-- > 0;) {
      free_.emplace_back(reinterpret_cast<ChildReport*>(reports + i * ChildReport::kBytes), told + i);
    }
    slots_ += slots;
    mappings_.push_back(*std::move(mapping));
    return absl::OkStatus();
  }

  const uint64_t process_mark_ = os::ProcessMark();
  size_t slots_ = 0;
  std::vector<os::SharedMapping> mappings_;
  std::vector<std::pair<ChildReport*, std::atomic<uint32_t>*>> free_;
};

ReportSlot::~ReportSlot() {
  if (pool_ == nullptr || !pool_->IsOurs()) return;
  const std::unique_lock<std::mutex> lock = Lock();
  // The last one takes the pool along, whose pages it need not touch any more.
  if (pool_.use_count() > 1) pool_->GiveBack(report_, told_);
  pool_ = nullptr;
}

ExitStatus ReportSlot::Complete(ExitStatus status) const {
  if (told_->load(std::memory_order_acquire) == 0) return status;  // pairs with ForkedChild
  return report_->Complete(std::move(status));
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
