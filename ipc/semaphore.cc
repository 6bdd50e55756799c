#include "ko/ipc/semaphore.h"

#include "absl/strings/str_cat.h"
#include "ko/os/futex.h"
#include "ko/os/named_mapping.h"
#include "ko/os/shared_mapping.h"

namespace ko {

absl::StatusOr<Semaphore> Semaphore::Create(int permits, const SemaphoreOptions& options) {
  if (permits < 1 || permits > static_cast<int>(SemaphoreWords::kMaxPermits)) {
    return absl::InvalidArgumentError(absl::StrCat("Semaphore: ", permits, " permits"));
  }
  if (absl::Status status = os::CheckFutexWaitv(); !status.ok()) return status;
  const auto count = static_cast<uint32_t>(permits);
  const size_t bytes = SemaphoreWords::SegmentBytes(count);
  absl::StatusOr<os::SharedMapping> mapping =
      options.name.empty() ? os::SharedMapping::Create(bytes)
                           : os::CreateNamedMapping(options.name, bytes,
                                                    [&](void* data) { SemaphoreWords::Sign(data, count); });
  if (!mapping.ok()) return mapping.status();
  return Semaphore(std::make_unique<SemaphoreWords>(*std::move(mapping), count));
}

absl::StatusOr<Semaphore> Semaphore::Open(std::string_view name) {
  if (absl::Status status = os::CheckFutexWaitv(); !status.ok()) return status;
  absl::StatusOr<os::SharedMapping> mapping = os::OpenNamedMapping(name, sizeof(SemaphoreHeader));
  if (!mapping.ok()) return mapping.status();
  const absl::StatusOr<uint32_t> permits = SemaphoreWords::CheckSignature(*mapping);
  if (!permits.ok()) return permits.status();
  return Semaphore(std::make_unique<SemaphoreWords>(*std::move(mapping), *permits));
}

absl::Status Semaphore::Unlink(std::string_view name) { return os::UnlinkNamedMapping(name); }

absl::Status Semaphore::MovedFrom() { return absl::FailedPreconditionError("Semaphore: moved-from"); }

absl::Status Semaphore::NotAcquired() const {
  if (words_ == nullptr) return MovedFrom();
  return absl::UnavailableError("Semaphore: no permit is free");
}

}  // namespace ko
