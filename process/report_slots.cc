#include "ko/process/report_slots.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "ko/os/process_mark.h"
#include "ko/os/shared_mapping.h"

namespace ko {
namespace {

// The words that say whether there are reports fill the first page, so that looking at them touches no other.
constexpr size_t kSlotsPerMapping = ChildReport::kBytes / sizeof(std::atomic<uint32_t>);

}  // namespace

struct ReportSlot::Pool {
  const uint64_t process_mark = os::ProcessMark();
  std::vector<os::SharedMapping> mappings;
  std::vector<std::pair<ChildReport*, std::atomic<uint32_t>*>> free;

  absl::Status Grow() {
    absl::StatusOr<os::SharedMapping> mapping =
        os::SharedMapping::CreateSparse((1 + kSlotsPerMapping) * ChildReport::kBytes);
    if (!mapping.ok()) return mapping.status();
    auto* const told = static_cast<std::atomic<uint32_t>*>(mapping->data());
    char* const reports = static_cast<char*>(mapping->data()) + ChildReport::kBytes;
    for (size_t i = kSlotsPerMapping; i-- > 0;) {
      free.emplace_back(reinterpret_cast<ChildReport*>(reports + i * ChildReport::kBytes), told + i);
    }
    mappings.push_back(*std::move(mapping));
    return absl::OkStatus();
  }
};

ReportSlot::~ReportSlot() {
  if (pool_ == nullptr || pool_->process_mark != os::ProcessMark()) return;
  if (told_->exchange(0, std::memory_order_acquire) != 0) report_->Clear();  // pairs with ForkedChild
  pool_->free.emplace_back(report_, told_);
}

ExitStatus ReportSlot::Complete(ExitStatus status) const {
  if (told_->load(std::memory_order_acquire) == 0) return status;  // pairs with ForkedChild
  return report_->Complete(std::move(status));
}

absl::StatusOr<ReportSlot> ReportSlots::Allocate() {
  if (pool_ == nullptr || pool_->process_mark != os::ProcessMark())
    pool_ = std::make_shared<ReportSlot::Pool>();
  if (pool_->free.empty()) {
    if (absl::Status grown = pool_->Grow(); !grown.ok()) return grown;
  }
  const auto [report, told] = pool_->free.back();
  pool_->free.pop_back();
  return ReportSlot(pool_, report, told);
}

}  // namespace ko
