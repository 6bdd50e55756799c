#ifndef KO_PROCESS_REPORT_SLOTS_H_
#define KO_PROCESS_REPORT_SLOTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "ko/process/child_report.h"
#include "ko/process/exit_status.h"

namespace ko {

// A place for one child's report, given back when it is destroyed. The page of a child that reports nothing is never
// touched, by neither side.
//
// Threads: any. Fork: a child's copy gives nothing back.
class ReportSlot {
 public:
  ReportSlot(ReportSlot&&) = default;
  ReportSlot& operator=(ReportSlot&&) = delete;
  ~ReportSlot();

  // For the child: where it reports, and the word that says it has.
  ChildReport& report() const { return *report_; }
  std::atomic<uint32_t>& told() const { return *told_; }

  // For the parent, after the child's end: the status with what the child reported.
  ExitStatus Complete(ExitStatus status) const;

 private:
  friend class ReportSlots;
  class Pool;
  ReportSlot(std::shared_ptr<Pool> pool, ChildReport* report, std::atomic<uint32_t>* told)
      : pool_(std::move(pool)), report_(report), told_(told) {}

  std::shared_ptr<Pool> pool_;
  ChildReport* report_;
  std::atomic<uint32_t>* told_;
};

// Hands out places for reports, many in one mapping, so that no fork pays for a mapping for each child that there is.
//
// Threads: any. Fork: a child's copy begins anew. Signals: none. Crash: the mappings are anonymous. Errors:
// ResourceExhausted.
class ReportSlots {
 public:
  // Nobody else has it, and nothing is reported in it.
  absl::StatusOr<ReportSlot> Allocate();

  // The same for those who keep no ReportSlots: from one of the process's, whose mapping, of so many bytes, stays
  // while it has no other.
  static constexpr size_t kKeptBytes = 17 * ChildReport::kBytes;
  static absl::StatusOr<ReportSlot> AllocateAlone();

 private:
  std::shared_ptr<ReportSlot::Pool> pool_;
};

}  // namespace ko

#endif  // KO_PROCESS_REPORT_SLOTS_H_
