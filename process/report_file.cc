#include "ko/process/report_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "ko/os/above_stdio.h"
#include "ko/os/child_code.h"
#include "ko/os/errno_status.h"
#include "ko/os/file_size_signal.h"
#include "ko/os/process_mark.h"
#include "ko/process/child_report.h"

namespace ko {
namespace {

constexpr uint32_t kFirstPages = 64;

off_t OffsetOf(uint32_t page) { return static_cast<off_t>(page) * ChildReport::kBytes; }

}  // namespace

ReportFile::ReportFile(os::UniqueFd fd) : fd_(std::move(fd)), process_mark_(os::ProcessMark()) {}

absl::StatusOr<std::shared_ptr<ReportFile>> ReportFile::Create() {
  os::UniqueFd fd(::memfd_create("ko-reports", MFD_CLOEXEC));
  if (!fd.valid()) return os::ErrnoStatus(errno, "memfd_create", "ko-reports");
  if (absl::Status moved = os::MoveAboveStdio(fd); !moved.ok()) return moved;
  return std::shared_ptr<ReportFile>(new ReportFile(std::move(fd)));
}

KO_CHILD_CODE absl::StatusOr<os::SharedMapping> ReportFile::Map(int descriptor, uint32_t page) {
  return os::SharedMapping::OfFile(descriptor, ChildReport::kBytes, OffsetOf(page));
}

absl::StatusOr<uint32_t> ReportFile::TakePage() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    if (pages_ > std::numeric_limits<uint32_t>::max() / 2) {
      return absl::ResourceExhaustedError("ForkServer: too many children at a time");
    }
    const uint32_t more = pages_ == 0 ? kFirstPages : pages_;
    if (os::GrowFile([&] { return ::ftruncate(fd_.get(), OffsetOf(pages_ + more)); }) != 0) {
      return os::ErrnoStatus(errno, "ftruncate", "ko-reports");
    }
    free_.reserve(pages_ + more);  // no page given back needs memory
    for (uint32_t page = pages_ + more; page > pages_; --page) free_.push_back(page - 1);
    pages_ += more;
  }
  const uint32_t page = free_.back();
  free_.pop_back();
  return page;
}

void ReportFile::GiveBack(uint32_t page) {
  if (process_mark_ != os::ProcessMark()) return;  // a copy, whose mutex may be locked for ever
  const std::lock_guard lock(mutex_);
  free_.push_back(page);
}

absl::StatusOr<ReportPage> ReportPage::Take(std::shared_ptr<ReportFile> file) {
  absl::StatusOr<uint32_t> index = file->TakePage();
  if (!index.ok()) return index.status();
  return ReportPage(std::move(file), *index);
}

ExitStatus ReportPage::Complete(ExitStatus status) {
  alignas(ChildReport) char copy[sizeof(ChildReport)] = {};
  const int fd = file_->descriptor();
  if (::pread(fd, copy, sizeof copy, OffsetOf(index_)) < 0) return status;
  const auto& report = *reinterpret_cast<const ChildReport*>(copy);
  if (!report.empty()) {
    ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, OffsetOf(index_), ChildReport::kBytes);
  }
  return report.Complete(std::move(status));
}

}  // namespace ko
