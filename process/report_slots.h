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
// touched, by neither side. Two pointers: a callable that has one needs no memory, which would be one more page to copy after
// a fork.
//
// Threads: any. Fork: a child's copy gives nothing back.
class ReportSlot {
 public:
  ReportSlot(ReportSlot&& other) noexcept : pool_(other.pool_), told_(std::exchange(other.told_, nullptr)) {}
  ReportSlot& operator=(ReportSlot&&) = delete;
  ~ReportSlot();

  // For the child: where it reports, and the word that says it has.
  ChildReport& report() const;
  std::atomic<uint32_t>& told() const { return *told_; }

  // For the parent, after the child's end: the status with what the child reported.
  ExitStatus Complete(ExitStatus status) const;

 private:
  friend class ReportSlots;
  class Pool;
  ReportSlot(Pool* pool, std::atomic<uint32_t>* told) : pool_(pool), told_(told) {}

  Pool* pool_;  // which lives as long as somebody has a slot of it
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
