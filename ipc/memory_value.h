#ifndef KO_IPC_MEMORY_VALUE_H_
#define KO_IPC_MEMORY_VALUE_H_

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "ko/ipc/memory_map.h"

// How C++ types stand in a SharedMemory. The tags are a part of its format.

namespace ko::memory_value {

inline constexpr uint32_t kInteger = 1;        // int64_t
inline constexpr uint32_t kLargeUnsigned = 2;  // beyond those, up to UINT64_MAX
inline constexpr uint32_t kReal = 3;           // double
inline constexpr uint32_t kBool = 4;
inline constexpr uint32_t kText = 5 | kInBlocks;
inline constexpr uint32_t kStruct = uint32_t{1}
                                    << 31;  // with a hash of the type's name in the bits below kInBlocks

template <class T>
concept Integer = (std::integral<T> && !std::same_as<T, bool>) || std::is_enum_v<T>;
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;
template <class T>
concept Text = std::convertible_to<const T&, std::string_view>;

template <class T>
inline constexpr bool kIsInitializerList = false;
template <class T>
inline constexpr bool kIsInitializerList<std::initializer_list<T>> = true;

// Kept byte by byte. Pointers mean nothing in another process, and views are pointers.
template <class T>
concept Struct =
    (std::is_class_v<T> || std::is_union_v<T> || std::is_array_v<T>) && std::is_trivially_copyable_v<T> &&
    std::is_default_constructible_v<T> && !std::is_empty_v<T> && !Text<T> && !kIsInitializerList<T>;

// What can be set; all of it but views of text can be got.
template <class T>
concept Settable = Integer<T> || Real<T> || std::same_as<T, bool> || Text<T> || Struct<T>;
template <class T>
concept Gettable = Integer<T> || Real<T> || std::same_as<T, bool> || std::same_as<T, std::string> ||
                   (Struct<T> && !std::is_array_v<T>);
template <class T>
concept Number = Integer<T> || Real<T>;

// The same for each program that was built with the same kind of compiler. (FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv)
template <class T>
constexpr uint32_t NameHash() {
  uint32_t hash = 2166136261;
  for (const char c : std::string_view(__PRETTY_FUNCTION__))
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return hash;
}

template <Struct T>
constexpr uint32_t StructTag() {
  constexpr uint32_t name = (NameHash<T>() + static_cast<uint32_t>(sizeof(T))) & (kInBlocks - 1);
  return kStruct | name | (sizeof(T) > 8 ? kInBlocks : 0);
}

// A value as the map takes it. It may refer to `value`.
template <Settable T>
MemoryValue Encode(const T& value) {
  if constexpr (std::same_as<T, bool>) {
    return {.tag = kBool, .word = value ? uint64_t{1} : 0, .bytes = {}};
  } else if constexpr (std::is_enum_v<T>) {
    return Encode(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (Integer<T>) {
    return {.tag = std::in_range<int64_t>(value) ? kInteger : kLargeUnsigned,
            .word = static_cast<uint64_t>(value),
            .bytes = {}};
  } else if constexpr (Real<T>) {
    return {.tag = kReal, .word = std::bit_cast<uint64_t>(static_cast<double>(value)), .bytes = {}};
  } else if constexpr (Text<T>) {
    return {.tag = kText, .word = 0, .bytes = std::string_view(value)};
  } else if constexpr (sizeof(T) > 8) {
    return {.tag = StructTag<T>(), .word = 0, .bytes = {reinterpret_cast<const char*>(&value), sizeof(T)}};
  } else {
    MemoryValue encoded = {.tag = StructTag<T>(), .word = 0, .bytes = {}};
    std::memcpy(&encoded.word, &value, sizeof(T));
    return encoded;
  }
}

enum class Decoded { kYes, kOtherType, kOutOfRange };

// Of the kinds that stand in a word.
template <class T>
Decoded DecodeWord(const MemoryValue& value, T& result) {
  if constexpr (std::same_as<T, bool>) {
    if (value.tag != kBool) return Decoded::kOtherType;
    result = value.word != 0;
  } else if constexpr (std::is_enum_v<T>) {
    std::underlying_type_t<T> number;
    if (const Decoded decoded = DecodeWord(value, number); decoded != Decoded::kYes) return decoded;
    result = static_cast<T>(number);
  } else if constexpr (Integer<T>) {
    if (value.tag == kLargeUnsigned) {
      if (value.word > static_cast<uint64_t>(std::numeric_limits<T>::max())) return Decoded::kOutOfRange;
    } else if (value.tag != kInteger) {
      return Decoded::kOtherType;
    } else if (const auto number = static_cast<int64_t>(value.word);
               number < 0
                   ? !std::is_signed_v<T> || number < static_cast<int64_t>(std::numeric_limits<T>::min())
                   : value.word > static_cast<uint64_t>(std::numeric_limits<T>::max())) {
      return Decoded::kOutOfRange;
    }
    result = static_cast<T>(value.word);
  } else if constexpr (Real<T>) {
    if (value.tag != kReal) return Decoded::kOtherType;
    result = static_cast<T>(std::bit_cast<double>(value.word));
  } else {
    if (value.tag != StructTag<T>()) return Decoded::kOtherType;
    std::memcpy(&result, &value.word, sizeof(T));
  }
  return Decoded::kYes;
}

// a + b, where T has room for it.
template <Number T>
bool Add(T a, T b, T& sum) {
  if constexpr (Real<T>) {
    sum = a + b;
    return true;
  } else {
    return !__builtin_add_overflow(a, b, &sum);
  }
}

}  // namespace ko::memory_value

#endif  // KO_IPC_MEMORY_VALUE_H_
