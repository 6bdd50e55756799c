#include "ko/ipc/job_queue_core.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/deadline.h"
#include "ko/os/futex.h"
#include "ko/os/process_mark.h"
#include "ko/os/robust_lock.h"

namespace ko {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;  // under the lock, which orders them

// A lease's token tells where it stands in the segment, and which process has received it.
JobLease MakeLease(const JobTable::Delivery& delivery, uint32_t participant) {
  return {.id = delivery.id,
          .attempt = static_cast<int>(delivery.attempt),
          .token = {uint64_t{delivery.slot} << 32 | participant, os::ProcessMark()}};
}

// When a call that may sleep gives up. The clock is read when the call has to sleep, not before.
class Patience {
 public:
  explicit Patience(absl::Duration timeout) : timeout_(timeout) {}
  bool over() { return timeout_ <= absl::ZeroDuration() || deadline().expired(); }
  const os::Deadline& deadline() {
    if (!deadline_.has_value()) deadline_ = os::Deadline::After(timeout_);
    return *deadline_;
  }

 private:
  const absl::Duration timeout_;
  std::optional<os::Deadline> deadline_;
};

}  // namespace

// The lock, with everything in order. Whoever leaves wakes those who can go on now.
class JobQueueCore::Session {
 public:
  static absl::StatusOr<Session> Enter(JobQueueCore& core) {
    absl::StatusOr<std::optional<uint32_t>> participant = core.participants_.Find();
    if (!participant.ok()) return participant.status();
    const absl::StatusOr<os::RobustLockState> state = os::AcquireRobustLock(core.segment_.header->lock);
    if (!state.ok()) return state.status();
    Session session(core);
    if (*state == os::RobustLockState::kHolderDied) core.segment_.header->unfinished.store(1, kRelaxed);
    if (absl::Status status = core.EnterLocked(*participant); !status.ok()) return status;
    session.self_ = **participant;
    return session;
  }

  Session(Session&& other) noexcept : core_(std::exchange(other.core_, nullptr)), self_(other.self_) {}
  Session& operator=(Session&&) = delete;
  ~Session() { Leave(); }

  uint32_t self() const { return self_; }

  void Leave() {
    JobQueueCore* const core = std::exchange(core_, nullptr);
    if (core == nullptr) return;
    JobParticipants::WakeUps wake_ups;
    if (core->participants_.HasUnwokenSleepers())
      wake_ups = core->participants_.NextWakeUps(core->GetProspects());
    os::ReleaseRobustLock(core->segment_.header->lock);
    // Not under the lock, which the sleepers would run into.
    if (wake_ups.receiver != nullptr) os::FutexWake(*wake_ups.receiver, os::FutexScope::kShared, 1);
    if (wake_ups.publisher != nullptr) os::FutexWake(*wake_ups.publisher, os::FutexScope::kShared, 1);
  }

 private:
  explicit Session(JobQueueCore& core) : core_(&core) {}
  JobQueueCore* core_;
  uint32_t self_ = 0;
};

JobQueueCore::JobQueueCore(os::SharedMapping mapping, const JobGeometry& geometry)
    : mapping_(std::make_shared<const os::SharedMapping>(std::move(mapping))),
      segment_(mapping_->data(), geometry),
      jobs_(segment_),
      participants_(segment_) {}

// No job of this process is left, but a lease may be: of a job that could not be given back.
JobQueueCore::~JobQueueCore() {
  const JobParticipant* const first = segment_.participants;
  os::RobustFutex* const held = os::FindHeldRobustFutex(first, first + segment_.geometry.participants);
  if (held == nullptr) return;
  if (absl::StatusOr<Session> session = Session::Enter(*this); session.ok()) {
    jobs_.ReturnAll(session->self()).IgnoreError();
  }
  os::ReleaseRobustFutex(*held);
}

absl::Status JobQueueCore::EnterLocked(std::optional<uint32_t>& participant) {
  if (absl::Status status = segment_.Check(); !status.ok()) return status;
  if (segment_.header->unfinished.load(kRelaxed) != 0) {
    if (absl::Status status = Repair(); !status.ok()) return status;
  }
  const auto give_back = [this](uint32_t dead) { return jobs_.ReturnAll(dead); };
  if (absl::Status status = participants_.SweepDead(give_back); !status.ok()) return status;
  if (participant.has_value()) return absl::OkStatus();
  absl::StatusOr<uint32_t> joined = participants_.Join(mapping_);
  if (joined.ok()) participant = *joined;
  return joined.status();
}

absl::Status JobQueueCore::Repair() {
  if (absl::Status status = jobs_.Rebuild(); !status.ok()) return status;
  participants_.Rebuild();
  segment_.header->unfinished.store(0, kRelaxed);
  return absl::OkStatus();
}

bool JobQueueCore::closed() const { return segment_.header->closed.load(kRelaxed) != 0; }

JobParticipants::Prospects JobQueueCore::GetProspects() const {
  const bool damaged = segment_.header->damaged.load(kRelaxed) != 0;
  return {.jobs = segment_.header->ready.load(kRelaxed),
          .all_receivers = damaged || (closed() && !jobs_.HasAny()),
          .publishers = jobs_.Fits(0),
          .all_publishers = damaged || closed(),
          .free_bytes = jobs_.free_bytes()};
}

absl::Status JobQueueCore::Publish(std::string_view body, absl::Duration timeout) {
  if (body.size() > segment_.geometry.max_body_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a job of ", body.size(), " bytes; the limit of the queue is ", segment_.geometry.max_body_bytes));
  }
  Patience patience(timeout);
  uint64_t ticket = 0;
  while (true) {
    absl::StatusOr<Session> session = Session::Enter(*this);
    if (!session.ok()) return session.status();
    if (ticket != 0) participants_.EndSleep(session->self());
    if (closed()) return absl::FailedPreconditionError("the job queue is closed");
    if (jobs_.Fits(body.size())) return jobs_.Publish(body);
    if (patience.over()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the job queue has no room for ", body.size(), " bytes"));
    }
    if (ticket == 0) ticket = participants_.NewTicket();
    os::FutexWaitList waits;
    if (!participants_.StartSleep(session->self(), JobSleep::kPublisher, ticket, body.size(), waits))
      continue;
    session->Leave();
    waits.Sleep(patience.deadline());
  }
}

absl::StatusOr<Job> JobQueueCore::Receive(absl::Duration timeout, Interrupt interrupt) {
  Patience patience(timeout);
  uint64_t ticket = 0;
  while (true) {
    absl::StatusOr<Session> session = Session::Enter(*this);
    if (!session.ok()) return session.status();
    if (ticket != 0) participants_.EndSleep(session->self());
    if (interrupt.fired()) return absl::CancelledError("interrupted");
    if (jobs_.HasReady()) {
      absl::StatusOr<JobTable::Delivery> delivery = jobs_.Take(session->self());
      if (!delivery.ok()) return delivery.status();
      const JobLease lease = MakeLease(*delivery, session->self());
      session->Leave();
      return Job(shared_from_this(), lease, std::move(delivery->body));
    }
    if (closed() && !jobs_.HasAny())
      return absl::FailedPreconditionError("the job queue is closed and empty");
    if (patience.over()) return absl::DeadlineExceededError("no job has come");
    if (ticket == 0) ticket = participants_.NewTicket();
    os::FutexWaitList waits;
    if (interrupt.word != nullptr) waits.Add(*interrupt.word, interrupt.expected, os::FutexScope::kPrivate);
    if (!participants_.StartSleep(session->self(), JobSleep::kReceiver, ticket, 0, waits)) continue;
    session->Leave();
    waits.Sleep(patience.deadline());
  }
}

absl::Status JobQueueCore::Settle(const JobLease& lease, JobOutcome outcome) {
  if (lease.token[1] != os::ProcessMark()) {
    return absl::FailedPreconditionError(
        "the job was received by another process, of which this one is a fork");
  }
  absl::StatusOr<Session> session = Session::Enter(*this);
  if (!session.ok()) return session.status();
  const auto slot = static_cast<uint32_t>(lease.token[0] >> 32);
  const auto holder = static_cast<uint32_t>(lease.token[0]);
  return jobs_.Settle(slot, lease.id, lease.attempt, holder, outcome);
}

absl::Status JobQueueCore::Close() {
  absl::StatusOr<Session> session = Session::Enter(*this);
  if (!session.ok()) return session.status();
  segment_.header->closed.store(1, kRelaxed);
  return absl::OkStatus();
}

absl::StatusOr<JobQueueStats> JobQueueCore::Stats() {
  absl::StatusOr<Session> session = Session::Enter(*this);
  if (!session.ok()) return session.status();
  const JobHeader& header = *segment_.header;
  JobQueueStats stats;
  stats.ready = header.ready.load(kRelaxed);
  stats.leased = header.leased.load(kRelaxed);
  stats.published = header.next_id.load(kRelaxed) - 1;
  stats.dropped = header.dropped.load(kRelaxed);
  stats.acked = stats.published - stats.dropped - stats.ready - stats.leased;
  stats.redelivered = header.redelivered.load(kRelaxed);
  stats.capacity_bytes = size_t{segment_.geometry.blocks} * kJobBlockBytes;
  stats.used_bytes = stats.capacity_bytes - jobs_.free_bytes();
  stats.sleeping_receivers = participants_.Count(JobSleep::kReceiver);
  stats.sleeping_publishers = participants_.Count(JobSleep::kPublisher);
  return stats;
}

}  // namespace ko
