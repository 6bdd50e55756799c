#ifndef KO_PROCESS_REPORT_FILE_H_
#define KO_PROCESS_REPORT_FILE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/unique_fd.h"
#include "ko/process/exit_status.h"

namespace ko {

// Pages for the reports (see child_report.h) of children that are no copies of this process: a file in memory, of which
// each child maps its own page. A page takes memory once a child has written to it.
//
// Threads: any. Fork: a child's copies do nothing. Signals: none. Crash: the file is gone with its last descriptor.
// Errors: those of memfd_create(2) and ftruncate(2).
class ReportFile {
 public:
  static absl::StatusOr<std::shared_ptr<ReportFile>> Create();

  int descriptor() const { return fd_.get(); }

  // In the child: its page of the file that `descriptor` is open on.
  static absl::StatusOr<os::SharedMapping> Map(int descriptor, uint32_t page);

 private:
  friend class ReportPage;
  explicit ReportFile(os::UniqueFd fd);

  absl::StatusOr<uint32_t> TakePage();
  void GiveBack(uint32_t page);

  const os::UniqueFd fd_;
  const uint64_t process_mark_;
  std::mutex mutex_;
  uint32_t pages_ = 0;          // that the file has
  std::vector<uint32_t> free_;  // of them
};

// A page of it, zeroed, for one child; the destructor, which is to run after the child's end, gives it back.
class ReportPage {
 public:
  static absl::StatusOr<ReportPage> Take(std::shared_ptr<ReportFile> file);
  ReportPage(ReportPage&&) noexcept = default;
  ReportPage& operator=(ReportPage&& other) noexcept {
    std::swap(file_, other.file_);
    std::swap(index_, other.index_);
    return *this;
  }
  ~ReportPage() {
    if (file_ != nullptr) file_->GiveBack(index_);
  }

  uint32_t index() const { return index_; }

  // The status of the child, which has failed, with what it reported. Leaves the page zeroed.
  ExitStatus Complete(ExitStatus status);

 private:
  ReportPage(std::shared_ptr<ReportFile> file, uint32_t index) : file_(std::move(file)), index_(index) {}

  std::shared_ptr<ReportFile> file_;  // null when moved from
  uint32_t index_;
};

}  // namespace ko

#endif  // KO_PROCESS_REPORT_FILE_H_
