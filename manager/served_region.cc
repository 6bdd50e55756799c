#include "ko/manager/served_region.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ko/ipc/shared_memory.h"
#include "ko/os/errno_status.h"
#include "ko/os/file_size_signal.h"

namespace ko {
namespace {

// The word that says whether the memory is used, the control slots, the memory.
constexpr size_t kPageBytes = 4096;
constexpr size_t kSlotsOffset = kPageBytes;
constexpr size_t kSlotsBytes = kPageBytes;
constexpr size_t kMemoryOffset = kSlotsOffset + kSlotsBytes;

absl::StatusOr<size_t> TotalBytes() {
  const absl::StatusOr<size_t> memory_bytes = SharedMemory::BytesFor(MemorySlots::kCapacityBytes);
  if (!memory_bytes.ok()) return memory_bytes.status();
  return kMemoryOffset + *memory_bytes;
}

char* At(const os::SharedMapping& mapping, size_t offset) {
  return static_cast<char*>(mapping.data()) + offset;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServedRegion>> ServedRegion::Create() {
  os::UniqueFd fd(::memfd_create("ko-process", MFD_CLOEXEC));
  if (!fd.valid()) return os::ErrnoStatus(errno, "memfd_create", "ko-process");
  const absl::StatusOr<size_t> bytes = TotalBytes();
  if (!bytes.ok()) return bytes.status();
  if (os::GrowFile([&] { return ::ftruncate(fd.get(), static_cast<off_t>(*bytes)); }) != 0) {
    return os::ErrnoStatus(errno, "ftruncate", absl::StrCat(*bytes, " bytes in memory"));
  }
  absl::StatusOr<std::unique_ptr<ServedRegion>> region = Map(fd.get(), *bytes);
  if (region.ok()) (*region)->fd_ = std::move(fd);
  return region;
}

absl::StatusOr<std::unique_ptr<ServedRegion>> ServedRegion::Open(int fd) {
  const absl::StatusOr<size_t> bytes = TotalBytes();
  if (!bytes.ok()) return bytes.status();
  if (::lseek(fd, 0, SEEK_END) != static_cast<off_t>(*bytes)) {
    return absl::DataLossError("ServedRegion: this is not the memory of a managed process");
  }
  return Map(fd, *bytes);
}

absl::StatusOr<std::unique_ptr<ServedRegion>> ServedRegion::Map(int fd, size_t bytes) {
  absl::StatusOr<os::SharedMapping> mapping = os::SharedMapping::OfFile(fd, bytes);
  if (!mapping.ok()) return mapping.status();
  auto shared = std::make_shared<os::SharedMapping>(*std::move(mapping));
  absl::StatusOr<SharedMemory> memory =
      SharedMemory::CreateIn(At(*shared, kMemoryOffset), MemorySlots::kCapacityBytes, shared);
  if (!memory.ok()) return memory.status();
  auto* const used = reinterpret_cast<std::atomic<uint8_t>*>(shared->data());
  auto process_memory = std::make_shared<ProcessMemory>(*std::move(memory), used);
  return std::unique_ptr<ServedRegion>(new ServedRegion(std::move(shared), std::move(process_memory)));
}

ServedRegion::ServedRegion(std::shared_ptr<os::SharedMapping> mapping, std::shared_ptr<ProcessMemory> memory)
    : mapping_(std::move(mapping)),
      memory_(std::move(memory)),
      control_slots_(mapping_, At(*mapping_, kSlotsOffset), kSlotsBytes) {}

uint64_t ServedRegion::OffsetOf(const ControlSlotRef& slot) const {
  return static_cast<uint64_t>(reinterpret_cast<char*>(slot.get()) - At(*mapping_, 0));
}

absl::StatusOr<ControlSlotRef> ServedRegion::SlotAt(uint64_t offset) const {
  if (offset < kSlotsOffset || offset > kMemoryOffset - sizeof(ControlSlot) ||
      offset % sizeof(ControlSlot) != 0) {
    return absl::DataLossError(absl::StrCat("ServedRegion: there is no slot at ", offset));
  }
  return ControlSlotRef(mapping_, reinterpret_cast<ControlSlot*>(At(*mapping_, offset)));
}

}  // namespace ko
