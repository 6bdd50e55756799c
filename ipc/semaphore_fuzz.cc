#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/fuzz_damage.h"
#include "ko/ipc/semaphore.h"
#include "ko/ipc/semaphore_test_peer.h"
#include "ko/ipc/semaphore_words.h"
#include "ko/os/robust_list.h"
#include "ko/os/shared_mapping.h"

// Each call there is, on a semaphore that somebody has overwritten while the caller holds a permit: an answer, a status, or
// the end of its time.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kPermits = 3;
  constexpr absl::Duration kShort = absl::Microseconds(20);
  absl::StatusOr<ko::Semaphore> semaphore = ko::Semaphore::Create(kPermits);
  if (!semaphore.ok() || !semaphore->TryAcquire()) std::abort();
  const ko::os::SharedMapping& mapping = ko::SemaphoreTestPeer::Mapping(*semaphore);
  ko::Damage(mapping.data(), mapping.bytes(),
             {{offsetof(ko::SemaphoreHeader, turnstile), sizeof(ko::os::RobustFutex)}}, data, size);
  for (int i = 0; i < 2; ++i) {
    semaphore->Acquire(kShort).IgnoreError();
    semaphore->TryAcquire();
    semaphore->IsAcquired();
    semaphore->TryExecute([] { return 7; }).IgnoreError();
    const int available = semaphore->available();
    if (available < 0 || available > kPermits || semaphore->permits() != kPermits) std::abort();
    semaphore->Release().IgnoreError();
  }
  // What it holds is given back by the destructor; a thread that goes on must find its list in order.
  semaphore = ko::Semaphore::Create(1);
  if (!semaphore.ok() || !semaphore->TryAcquire() || !semaphore->Release().ok()) std::abort();
  return 0;
}
