#include "ko/manager/served_body.h"

#include <pthread.h>

#include "ko/manager/control_slots.h"
#include "ko/manager/served_region.h"
#include "ko/os/event_fd.h"
#include "ko/os/unique_fd.h"

namespace ko::internal {

absl::StatusOr<std::unique_ptr<Self>> EnterServedProcess(const ServedLaunch& launch, PassedFd region,
                                                         PassedFd bell) {
  const os::UniqueFd region_fd(region.fd);
  os::EventFd own_bell = os::EventFd::Adopt(os::UniqueFd(bell.fd));
  absl::StatusOr<std::unique_ptr<ServedRegion>> opened = ServedRegion::Open(region_fd.get());
  if (!opened.ok()) return opened.status();
  absl::StatusOr<ControlSlotRef> control = (*opened)->SlotAt(launch.control_offset);
  if (!control.ok()) return control.status();
  absl::StatusOr<std::unique_ptr<Self>> self =
      EnterAttempt(launch.facts, *control, (*opened)->memory(), std::move(own_bell));
  if (self.ok()) ::pthread_sigmask(SIG_SETMASK, &launch.mask, nullptr);
  return self;
}

}  // namespace ko::internal
