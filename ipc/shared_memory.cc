#include "ko/ipc/shared_memory.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ko/os/named_mapping.h"
#include "ko/os/shared_mapping.h"

namespace ko {
namespace {

std::string Quoted(const MemoryKey& key) {
  constexpr size_t kShown = 60;
  return absl::StrCat("\"", absl::CHexEscape(key.bytes().substr(0, kShown)), "\"");
}

absl::StatusOr<os::SharedMapping> MakeMapping(const MemoryGeometry& geometry, const std::string& name) {
  if (name.empty()) return os::SharedMapping::Create(geometry.segment_bytes);
  return os::CreateNamedMapping(name, geometry.segment_bytes,
                                [&](void* data) { MemorySegment(data, geometry).Sign(); });
}

std::unique_ptr<MemoryMap> MakeMap(os::SharedMapping mapping, const MemoryGeometry& geometry) {
  auto owner = std::make_shared<os::SharedMapping>(std::move(mapping));
  void* const data = owner->data();
  return std::make_unique<MemoryMap>(data, geometry, std::move(owner));
}

}  // namespace

absl::StatusOr<SharedMemory> SharedMemory::Create(size_t capacity_bytes, const SharedMemoryOptions& options) {
  const absl::StatusOr<MemoryGeometry> geometry = MemoryGeometry::Of(capacity_bytes);
  if (!geometry.ok()) return geometry.status();
  absl::StatusOr<os::SharedMapping> mapping = MakeMapping(*geometry, options.name);
  if (!mapping.ok()) return mapping.status();
  return SharedMemory(MakeMap(*std::move(mapping), *geometry));
}

absl::StatusOr<SharedMemory> SharedMemory::CreateIn(void* zeroed, size_t capacity_bytes,
                                                    std::shared_ptr<const void> owner) {
  const absl::StatusOr<MemoryGeometry> geometry = MemoryGeometry::Of(capacity_bytes);
  if (!geometry.ok()) return geometry.status();
  return SharedMemory(std::make_unique<MemoryMap>(zeroed, *geometry, std::move(owner)));
}

absl::StatusOr<size_t> SharedMemory::BytesFor(size_t capacity_bytes) {
  const absl::StatusOr<MemoryGeometry> geometry = MemoryGeometry::Of(capacity_bytes);
  if (!geometry.ok()) return geometry.status();
  return geometry->segment_bytes;
}

absl::StatusOr<SharedMemory> SharedMemory::Open(std::string_view name) {
  absl::StatusOr<os::SharedMapping> mapping = os::OpenNamedMapping(name, sizeof(MemoryHeader));
  if (!mapping.ok()) return mapping.status();
  const uint32_t blocks = static_cast<const MemoryHeader*>(mapping->data())->blocks;
  const absl::StatusOr<MemoryGeometry> geometry = MemoryGeometry::Of(size_t{blocks} * kMemoryBlockBytes);
  if (!geometry.ok()) return absl::DataLossError("SharedMemory: the object of this name has no size");
  absl::Status status = MemorySegment(mapping->data(), *geometry).CheckSignature(mapping->bytes());
  if (!status.ok()) return status;
  return SharedMemory(MakeMap(*std::move(mapping), *geometry));
}

absl::Status SharedMemory::Unlink(std::string_view name) { return os::UnlinkNamedMapping(name); }

absl::Status SharedMemory::MovedFrom() { return absl::FailedPreconditionError("SharedMemory: moved-from"); }

absl::Status SharedMemory::NotGot(const MemoryKey& key, MemoryMap::Found found) const {
  if (found == MemoryMap::Found::kDamaged) return map_->DamagedStatus();
  return absl::NotFoundError(absl::StrCat("SharedMemory: no key ", Quoted(key)));
}

absl::Status SharedMemory::NotDecoded(const MemoryKey& key, memory_value::Decoded decoded) {
  if (decoded == memory_value::Decoded::kOutOfRange) {
    return absl::OutOfRangeError(
        absl::StrCat("SharedMemory: the type has no room for the number under ", Quoted(key)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("SharedMemory: the value of ", Quoted(key), " has another type"));
}

bool SharedMemory::Contains(std::string_view key) const {
  MemoryValue value;
  return map_ != nullptr && map_->Read(MemoryKey(key), value, [](uint32_t, size_t) -> char* {
    return nullptr;
  }) == MemoryMap::Found::kYes;
}

absl::Status SharedMemory::Erase(std::string_view key) {
  if (absl::Status status = CheckUsable(); !status.ok()) return status;
  return map_->Erase(MemoryKey(key));
}

absl::Status SharedMemory::Clear() {
  if (absl::Status status = CheckUsable(); !status.ok()) return status;
  return map_->Clear();
}

size_t SharedMemory::size() const { return map_ == nullptr ? 0 : map_->size().value_or(0); }

std::vector<std::string> SharedMemory::Keys() const {
  return map_ == nullptr ? std::vector<std::string>() : map_->Keys().value_or(std::vector<std::string>());
}

size_t SharedMemory::capacity_bytes() const { return map_ == nullptr ? 0 : map_->capacity_bytes(); }

size_t SharedMemory::used_bytes() const { return map_ == nullptr ? 0 : map_->used_bytes().value_or(0); }

absl::Status SharedMemory::Lock(absl::Duration timeout) {
  if (absl::Status status = CheckUsable(); !status.ok()) return status;
  if (map_->IsHeld()) {
    ++map_->lock_depth();
    return absl::OkStatus();
  }
  absl::Status status = map_->Acquire(MemoryMap::HoldKind::kKept, os::Deadline::After(timeout));
  if (status.ok()) map_->lock_depth() = 1;
  return status;
}

absl::Status SharedMemory::Release() {
  if (absl::Status status = CheckUsable(); !status.ok()) return status;
  if (!map_->IsHeld()) return absl::FailedPreconditionError("SharedMemory: this thread has not locked it");
  if (--map_->lock_depth() == 0) map_->Release(MemoryMap::HoldKind::kKept);
  return absl::OkStatus();
}

absl::Status SharedMemory::Copy(std::string_view from, SharedMemory& to, std::string_view to_key) const {
  for (const SharedMemory* memory : {this, const_cast<const SharedMemory*>(&to)}) {
    if (absl::Status status = memory->CheckUsable(); !status.ok()) return status;
  }
  const MemoryKey key(from);
  MemoryValue value;
  std::string bytes;
  const MemoryMap::Found found = map_->Read(key, value, [&](uint32_t, size_t count) {
    bytes.resize(count);
    return bytes.data();
  });
  if (found != MemoryMap::Found::kYes) return NotGot(key, found);
  value.bytes = bytes;
  return to.map_->Set(MemoryKey(to_key), value);
}

}  // namespace ko
