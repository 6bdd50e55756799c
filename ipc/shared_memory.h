#ifndef KO_IPC_SHARED_MEMORY_H_
#define KO_IPC_SHARED_MEMORY_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/memory_map.h"
#include "ko/ipc/memory_value.h"

namespace ko {

struct SharedMemoryOptions {
  // Where not empty: makes a named object (mode 0600) for processes that do not descend from this one. It stays until it
  // is unlinked. A name has 1 to 200 bytes without '/'.
  std::string name;
};

// A map from string keys to typed values that processes share, used like a map of one's own:
//
//   absl::StatusOr<ko::SharedMemory> memory = ko::SharedMemory::Create();
//   if (!memory.ok()) return memory.status();
//   (*memory)["greeting"] = "hello";
//   manager.Fork([&] { (*memory)["n"] += 1; }).Wait();
//   int n = (*memory)["n"];
//
// A value is a bool, a number, a string of bytes, or a trivially copyable struct. All integer types and enums are one
// type, and so are float and double: what was set as one can be got as another that has room for it. A key is any string
// of bytes, the empty one too.
//
// Reads take no lock, are never torn, and cost the same however many keys there are. Writes take turns. An overwritten
// value stays until the new one is whole, so there has to be room for both.
//
// Capacity: keys and values take blocks of 64 bytes; a key of up to 16 bytes with a number takes one, a string of up to 64
// bytes one more. Freed blocks are used again in any combination. Memory takes up pages when it is first used.
//
// Threads: any number; Lock is the thread's that has called it. Not moved or destroyed while others use it.
// Fork: parent and child share the map; a child does not hold the parent's Lock.
// Signals: no call is ended by one; not to be called from a handler.
// Crash: a process may be killed at any instruction: each change has happened or not, and nothing stays locked or lost.
// Errors: ResourceExhausted where there is no room, with nothing changed; DataLoss where the memory has been overwritten;
// FailedPrecondition for a moved-from object, and in a process that was made by a raw clone(2) without
// set_robust_list(2); others with each function.
class SharedMemory {
 public:
  class Entry;

  // With room for `capacity_bytes` of keys and values. Errors: InvalidArgument for a capacity of 0 or above 2^37 bytes and
  // for a name that is none; ResourceExhausted; AlreadyExists.
  static absl::StatusOr<SharedMemory> Create(size_t capacity_bytes = 64 << 10,
                                             const SharedMemoryOptions& options = {});
  // Errors: NotFound; PermissionDenied where it is not this user's alone; DataLoss where it is something else.
  static absl::StatusOr<SharedMemory> Open(std::string_view name);
  // Takes the name away; those who have the object keep it. Errors: NotFound, PermissionDenied.
  static absl::Status Unlink(std::string_view name);

  // In shared memory of the caller's: BytesFor(capacity_bytes) zeroed bytes at a multiple of 128, which `owner` keeps
  // mapped. Processes that have it at other addresses each make their own. Errors: InvalidArgument.
  static absl::StatusOr<SharedMemory> CreateIn(void* zeroed, size_t capacity_bytes,
                                               std::shared_ptr<const void> owner);
  // Errors: as CreateIn.
  static absl::StatusOr<size_t> BytesFor(size_t capacity_bytes);

  // As one that was moved from.
  SharedMemory() = default;
  SharedMemory(SharedMemory&&) noexcept = default;
  SharedMemory& operator=(SharedMemory&&) noexcept = default;

  template <memory_value::Settable T>
  absl::Status Set(std::string_view key, const T& value);
  // Errors: NotFound; InvalidArgument for a value of another type; OutOfRange for a number that T has no room for.
  template <memory_value::Gettable T>
  absl::StatusOr<T> Get(std::string_view key) const;

  bool Contains(std::string_view key) const;
  // Errors: NotFound.
  absl::Status Erase(std::string_view key);
  absl::Status Clear();
  // 0 also where there is an error.
  size_t size() const;
  bool empty() const { return size() == 0; }
  // In the order of insertion; setting a key again does not change its place. Empty also where there is an error.
  std::vector<std::string> Keys() const;

  size_t capacity_bytes() const;
  size_t used_bytes() const;

  // Adds and returns the sum, as one step; a key that is missing counts as 0. Errors: InvalidArgument for a value of
  // another type; OutOfRange where T has no room for the value or the sum, which then is not set.
  template <memory_value::Number T>
  absl::StatusOr<T> Increment(std::string_view key, std::type_identity_t<T> by);
  template <memory_value::Number T>
  absl::StatusOr<T> Increment(std::string_view key) {
    return Increment<T>(key, 1);
  }

  // Sets `fn` of the value, or of `initial` where the key is missing, and returns it, as one step. `fn` is
  // T(T) or void(T&), and may use this memory. Nothing is set where it throws.
  template <memory_value::Gettable T, class F>
  absl::StatusOr<T> Update(std::string_view key, std::type_identity_t<T> initial, F fn);

  // Sets `desired` where the value equals `expected`, as one step; whether it did. Errors: NotFound.
  template <memory_value::Gettable T>
  absl::StatusOr<bool> CompareExchange(std::string_view key, const std::type_identity_t<T>& expected,
                                       const std::type_identity_t<T>& desired);

  // Keeps all others from writing, for several steps that belong together; they may read. The holder goes on using the
  // memory, may lock again, and releases as often. It is released when the thread ends or dies. Errors: DeadlineExceeded.
  absl::Status Lock(absl::Duration timeout = absl::InfiniteDuration());
  // Errors: FailedPrecondition where this thread does not hold it.
  absl::Status Release();

  // The value of a key, for expressions; see Entry.
  Entry operator[](std::string_view key) ABSL_ATTRIBUTE_LIFETIME_BOUND;

 private:
  friend class SharedMemoryTestPeer;
  explicit SharedMemory(std::unique_ptr<MemoryMap> map) : map_(std::move(map)) {}

  static absl::Status MovedFrom();
  absl::Status CheckUsable() const { return map_ == nullptr ? MovedFrom() : absl::OkStatus(); }
  template <class T>
  absl::StatusOr<T> GetKey(const MemoryKey& key) const;
  template <class T>
  absl::StatusOr<T> FromWord(const MemoryKey& key, const MemoryValue& value) const;
  // What Get returns where there is no value: the reasons.
  absl::Status NotGot(const MemoryKey& key, MemoryMap::Found found) const;
  static absl::Status NotDecoded(const MemoryKey& key, memory_value::Decoded decoded);
  absl::Status Copy(std::string_view from, SharedMemory& to, std::string_view to_key) const;

  // Runs `steps`, which returns a status or StatusOr, as one step.
  template <class Steps>
  auto Together(MemoryMap::HoldKind kind, Steps steps) -> std::invoke_result_t<Steps&>;

  std::unique_ptr<MemoryMap> map_;
};

// What memory[key] gives. It can be assigned to and read from:
//
//   memory["title"] = "a";  std::string title = memory["title"];  memory["n"] += 1;
//
// Errors cannot be returned here; they end as in StatusOr::value(): absl::BadStatusOrAccess is thrown, or the process ends
// where exceptions are switched off. Where that is not wanted there are Set, Get and Increment. Lives no longer than the
// memory and the key.
class SharedMemory::Entry {
 public:
  Entry(const Entry&) = default;

  template <memory_value::Settable T>
  const Entry& operator=(const T& value) const {
    Demand(memory_->Set(key_, value));
    return *this;
  }
  // Copies the value.
  const Entry& operator=(const Entry& other) const {
    Demand(other.memory_->Copy(other.key_, *memory_, key_));
    return *this;
  }
  Entry& operator=(const Entry& other) {
    std::as_const(*this) = other;
    return *this;
  }

  template <memory_value::Gettable T>
  operator T() const {  // NOLINT: int n = memory["n"] is what this is for
    return memory_->Get<T>(key_).value();
  }
  template <memory_value::Gettable T>
  absl::StatusOr<T> Get() const {
    return memory_->Get<T>(key_);
  }
  bool exists() const { return memory_->Contains(key_); }
  absl::Status Erase() const { return memory_->Erase(key_); }

  // As Increment; the sum.
  template <memory_value::Number T>
  T operator+=(T by) const {
    return memory_->Increment<T>(key_, by).value();
  }
  template <memory_value::Number T>
  T operator-=(T by) const {
    return memory_->Update<T>(key_, T{}, [by](T value) { return static_cast<T>(value - by); }).value();
  }
  int64_t operator++() const { return *this += int64_t{1}; }
  int64_t operator--() const { return *this += int64_t{-1}; }

  // Whether there is a value of that type, and this is it.
  template <memory_value::Settable T>
  friend bool operator==(const Entry& entry, const T& value) {
    using Got = std::conditional_t<memory_value::Text<T>, std::string, T>;
    const absl::StatusOr<Got> got = entry.memory_->Get<Got>(entry.key_);
    return got.ok() && *got == value;
  }

 private:
  friend class SharedMemory;
  Entry(SharedMemory* memory, std::string_view key) : memory_(memory), key_(key) {}
  static void Demand(absl::Status status) {
    if (!status.ok()) absl::StatusOr<std::monostate>(std::move(status)).value();
  }

  SharedMemory* memory_;
  std::string_view key_;
};

// Only the definitions of templates from here on.

template <memory_value::Settable T>
absl::Status SharedMemory::Set(std::string_view key, const T& value) {
  if (absl::Status status = CheckUsable(); !status.ok()) return status;
  return map_->Set(MemoryKey(key), memory_value::Encode(value));
}

template <memory_value::Gettable T>
absl::StatusOr<T> SharedMemory::Get(std::string_view key) const {
  if (absl::Status status = CheckUsable(); !status.ok()) return status;
  return GetKey<T>(MemoryKey(key));
}

template <class T>
absl::StatusOr<T> SharedMemory::FromWord(const MemoryKey& key, const MemoryValue& value) const {
  T result;
  const memory_value::Decoded decoded = memory_value::DecodeWord<T>(value, result);
  if (decoded != memory_value::Decoded::kYes) return NotDecoded(key, decoded);
  return result;
}

template <class T>
absl::StatusOr<T> SharedMemory::GetKey(const MemoryKey& key) const {
  MemoryValue value;
  constexpr bool kIsText = std::is_same_v<T, std::string>;
  if constexpr (kIsText || (memory_value::Struct<T> && sizeof(T) > 8)) {
    absl::StatusOr<T> result(std::in_place);
    bool is_type = false;
    const auto place = [&](uint32_t tag, size_t bytes) -> char* {
      if constexpr (kIsText) {
        is_type = tag == memory_value::kText;
        if (!is_type) return nullptr;
        result->resize(bytes);
        return result->data();
      } else {
        is_type = tag == memory_value::StructTag<T>() && bytes == sizeof(T);
        return is_type ? reinterpret_cast<char*>(&*result) : nullptr;
      }
    };
    const MemoryMap::Found found = map_->Read(key, value, place);
    if (found != MemoryMap::Found::kYes) return NotGot(key, found);
    if ((value.tag & kInBlocks) == 0 || !is_type) return NotDecoded(key, memory_value::Decoded::kOtherType);
    return result;
  } else {
    if (!map_->ReadNumber(key, value)) {
      const MemoryMap::Found found =
          map_->Read(key, value, [](uint32_t, size_t) -> char* { return nullptr; });
      if (found != MemoryMap::Found::kYes) return NotGot(key, found);
    }
    return FromWord<T>(key, value);
  }
}

template <class Steps>
auto SharedMemory::Together(MemoryMap::HoldKind kind, Steps steps) -> std::invoke_result_t<Steps&> {
  if (absl::Status status = CheckUsable(); !status.ok()) return status;
  if (map_->IsHeld()) return steps();
  absl::Status status = map_->Acquire(kind, os::Deadline::After(absl::InfiniteDuration()));
  if (!status.ok()) return status;
  map_->lock_depth() = 1;
  // `steps` may have moved the memory.
  const absl::Cleanup release = [kind, map = map_.get()] {
    if (map->IsHeld()) map->Release(kind);  // else they have released it once too often
  };
  return steps();
}

template <memory_value::Number T>
absl::StatusOr<T> SharedMemory::Increment(std::string_view key_bytes, std::type_identity_t<T> by) {
  const MemoryKey key(key_bytes);
  return Together(MemoryMap::HoldKind::kShort, [&]() -> absl::StatusOr<T> {
    T sum = by;
    MemoryValue value;
    const MemoryMap::Found found = map_->Read(key, value, [](uint32_t, size_t) -> char* { return nullptr; });
    if (found == MemoryMap::Found::kDamaged) return NotGot(key, found);
    if (found == MemoryMap::Found::kYes) {
      absl::StatusOr<T> old = FromWord<T>(key, value);
      if (!old.ok()) return old;
      if (!memory_value::Add<T>(*old, by, sum)) return NotDecoded(key, memory_value::Decoded::kOutOfRange);
    }
    if (absl::Status status = map_->Set(key, memory_value::Encode(sum)); !status.ok()) return status;
    return sum;
  });
}

template <memory_value::Gettable T, class F>
absl::StatusOr<T> SharedMemory::Update(std::string_view key_bytes, std::type_identity_t<T> initial, F fn) {
  const MemoryKey key(key_bytes);
  return Together(MemoryMap::HoldKind::kKept, [&]() -> absl::StatusOr<T> {
    absl::StatusOr<T> value = GetKey<T>(key);
    if (absl::IsNotFound(value.status())) value = std::move(initial);
    if (!value.ok()) return value;
    if constexpr (std::is_void_v<std::invoke_result_t<F&, T&>>) {
      fn(*value);
    } else {
      value = static_cast<T>(fn(*std::move(value)));
    }
    if (absl::Status status = map_->Set(key, memory_value::Encode(*value)); !status.ok()) return status;
    return value;
  });
}

template <memory_value::Gettable T>
absl::StatusOr<bool> SharedMemory::CompareExchange(std::string_view key_bytes,
                                                   const std::type_identity_t<T>& expected,
                                                   const std::type_identity_t<T>& desired) {
  const MemoryKey key(key_bytes);
  return Together(MemoryMap::HoldKind::kShort, [&]() -> absl::StatusOr<bool> {
    const absl::StatusOr<T> value = GetKey<T>(key);
    if (!value.ok()) return value.status();
    if constexpr (memory_value::Struct<T>) {
      if (std::memcmp(&*value, &expected, sizeof(T)) != 0) return false;
    } else {
      if (*value != expected) return false;
    }
    if (absl::Status status = map_->Set(key, memory_value::Encode(desired)); !status.ok()) return status;
    return true;
  });
}

inline SharedMemory::Entry SharedMemory::operator[](std::string_view key) { return Entry(this, key); }

}  // namespace ko

#endif  // KO_IPC_SHARED_MEMORY_H_
