#include "ko/ipc/job.h"

#include <utility>

namespace ko {

Job& Job::operator=(Job&& other) noexcept {
  if (this != &other) {
    Abandon();
    owner_ = std::move(other.owner_);
    lease_ = other.lease_;
    body_ = std::move(other.body_);
  }
  return *this;
}

Job::~Job() { Abandon(); }

absl::Status Job::Ack() { return Settle(JobOutcome::kDone); }

absl::Status Job::Nack(bool requeue) { return Settle(requeue ? JobOutcome::kRequeue : JobOutcome::kDrop); }

absl::Status Job::Settle(JobOutcome outcome) {
  const std::shared_ptr<LeaseOwner> owner = std::exchange(owner_, nullptr);
  if (owner == nullptr) {
    return absl::FailedPreconditionError("the job has been acknowledged, handed back or moved from before");
  }
  return owner->Settle(lease_, outcome);
}

void Job::Abandon() {
  // Where the lease cannot be given back any more, it is not held any more.
  if (owner_ != nullptr) Settle(JobOutcome::kRequeue).IgnoreError();
}

}  // namespace ko
