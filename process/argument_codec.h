#ifndef KO_PROCESS_ARGUMENT_CODEC_H_
#define KO_PROCESS_ARGUMENT_CODEC_H_

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/types/span.h"

// How single values are packed; see arguments.h. Nothing is aligned; numbers have the machine's own byte order.
namespace ko::internal {

// Never writes beyond its buffer. After a failure it writes no more.
class ArgumentWriter {
 public:
  explicit ArgumentWriter(absl::Span<char> buffer)
      : begin_(buffer.data()), next_(begin_), end_(begin_ + buffer.size()) {}

  void Write(const void* bytes, size_t count) {
    if (count > static_cast<size_t>(end_ - next_)) {
      ok_ = false;
      end_ = next_;
    } else if (count > 0) {
      std::memcpy(next_, bytes, count);
      next_ += count;
    }
  }

  bool ok() const { return ok_; }
  size_t written() const { return static_cast<size_t>(next_ - begin_); }

 private:
  char* begin_;
  char* next_;
  char* end_;
  bool ok_ = true;
};

// Never reads beyond its bytes. After a failure it has none left, and gives zeros.
class ArgumentReader {
 public:
  explicit ArgumentReader(std::string_view bytes) : left_(bytes) {}

  std::string_view Take(size_t count) {
    if (count > left_.size()) {
      Fail();
      return {};
    }
    const std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }

  // A count of what takes at least `least_bytes` each, as can still follow; 0 otherwise.
  size_t TakeCount(size_t least_bytes) {
    uint64_t count = 0;
    const std::string_view bytes = Take(sizeof(count));
    if (!bytes.empty()) std::memcpy(&count, bytes.data(), sizeof(count));
    if (count > left_.size() / least_bytes) {
      Fail();
      return 0;
    }
    return static_cast<size_t>(count);
  }

  void Fail() {
    ok_ = false;
    left_ = {};
  }
  bool ok() const { return ok_; }
  bool AtEnd() const { return ok_ && left_.empty(); }

 private:
  std::string_view left_;
  bool ok_ = true;
};

// How one type is packed: Value (what it arrives as), Bytes, Write, Read. Every value takes at least one byte, so that a
// count read from hostile bytes is never larger than they are.
template <class T>
struct ArgumentCodec {
  static_assert(!std::is_pointer_v<T> && !std::is_member_pointer_v<T> && !std::is_null_pointer_v<T>,
                "A pointer cannot be handed to another process: pass what it points to.");
  static_assert(
      std::is_trivially_copyable_v<T>,
      "Only trivially copyable values, strings, and std::vector, absl::Span, std::optional, std::pair and "
      "std::tuple of those can be handed to another process.");
  using Value = T;
  static constexpr bool kAsItLies = true;

  static size_t Bytes(const T&) { return sizeof(T); }
  static void Write(ArgumentWriter& writer, const T& value) { writer.Write(&value, sizeof(T)); }
  static T Read(ArgumentReader& reader) {
    std::array<std::byte, sizeof(T)> bytes{};
    const std::string_view taken = reader.Take(sizeof(T));
    if (!taken.empty()) std::memcpy(bytes.data(), taken.data(), sizeof(T));
    return std::bit_cast<T>(bytes);
  }
};

template <class T>
struct ArgumentCodec<std::reference_wrapper<T>> {
  static_assert(!std::is_same_v<T, T>,
                "A reference cannot be handed to another process: pass the value itself.");
};

// Any other byte would make a bool that is neither.
template <>
struct ArgumentCodec<bool> {
  using Value = bool;

  static size_t Bytes(bool) { return 1; }
  static void Write(ArgumentWriter& writer, bool value) {
    const char byte = value ? 1 : 0;
    writer.Write(&byte, 1);
  }
  static bool Read(ArgumentReader& reader) {
    const std::string_view taken = reader.Take(1);
    if (taken.empty() || taken[0] == 0) return false;
    if (taken[0] != 1) reader.Fail();
    return true;
  }
};

struct StringCodec {
  using Value = std::string;

  static size_t Bytes(std::string_view value) { return sizeof(uint64_t) + value.size(); }
  static void Write(ArgumentWriter& writer, std::string_view value) {
    const uint64_t count = value.size();
    writer.Write(&count, sizeof(count));
    writer.Write(value.data(), value.size());
  }
  static std::string Read(ArgumentReader& reader) { return std::string(reader.Take(reader.TakeCount(1))); }
};
template <>
struct ArgumentCodec<std::string> : StringCodec {};
template <>
struct ArgumentCodec<std::string_view> : StringCodec {};

// A null one arrives as an empty string.
template <>
struct ArgumentCodec<const char*> : StringCodec {
  static std::string_view View(const char* value) {
    return value == nullptr ? std::string_view() : std::string_view(value);
  }
  static size_t Bytes(const char* value) { return StringCodec::Bytes(View(value)); }
  static void Write(ArgumentWriter& writer, const char* value) { StringCodec::Write(writer, View(value)); }
};
template <>
struct ArgumentCodec<char*> : ArgumentCodec<const char*> {};

// Whether a row of these is packed as it lies in memory.
template <class T>
concept PackedAsItLies = requires { ArgumentCodec<T>::kAsItLies; };

// Rows: a count, then the values.
template <class Row, class T>
struct RowCodec {
  using Element = ArgumentCodec<T>;
  using Value = std::vector<typename Element::Value>;

  static size_t Bytes(const Row& row) {
    size_t bytes = sizeof(uint64_t);
    if constexpr (PackedAsItLies<T>) {
      bytes += row.size() * sizeof(T);
    } else {
      for (const auto& value : row) bytes += Element::Bytes(value);
    }
    return bytes;
  }

  static void Write(ArgumentWriter& writer, const Row& row) {
    const uint64_t count = row.size();
    writer.Write(&count, sizeof(count));
    if constexpr (PackedAsItLies<T>) {
      writer.Write(row.data(), row.size() * sizeof(T));
    } else {
      for (const auto& value : row) Element::Write(writer, value);
    }
  }

  static Value Read(ArgumentReader& reader) {
    Value values;
    if constexpr (PackedAsItLies<T> && std::default_initializable<T>) {
      const size_t count = reader.TakeCount(sizeof(T));
      const std::string_view bytes = reader.Take(count * sizeof(T));
      values.resize(count);
      if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    } else {
      const size_t count = reader.TakeCount(1);
      for (size_t i = 0; i < count && reader.ok(); ++i) values.push_back(Element::Read(reader));
    }
    return values;
  }
};
template <class T>
struct ArgumentCodec<std::vector<T>> : RowCodec<std::vector<T>, T> {};
template <class T>
struct ArgumentCodec<absl::Span<T>> : RowCodec<absl::Span<T>, std::remove_const_t<T>> {};
template <class T, size_t N>
struct ArgumentCodec<std::span<T, N>> : RowCodec<std::span<T, N>, std::remove_const_t<T>> {};

template <class T>
struct ArgumentCodec<std::optional<T>> {
  using Element = ArgumentCodec<T>;
  using Value = std::optional<typename Element::Value>;

  static size_t Bytes(const std::optional<T>& value) { return 1 + (value ? Element::Bytes(*value) : 0); }
  static void Write(ArgumentWriter& writer, const std::optional<T>& value) {
    ArgumentCodec<bool>::Write(writer, value.has_value());
    if (value) Element::Write(writer, *value);
  }
  static Value Read(ArgumentReader& reader) {
    if (!ArgumentCodec<bool>::Read(reader)) return std::nullopt;
    return Element::Read(reader);
  }
};

template <class A, class B>
struct ArgumentCodec<std::pair<A, B>> {
  using Value = std::pair<typename ArgumentCodec<A>::Value, typename ArgumentCodec<B>::Value>;

  static size_t Bytes(const std::pair<A, B>& value) {
    return ArgumentCodec<A>::Bytes(value.first) + ArgumentCodec<B>::Bytes(value.second);
  }
  static void Write(ArgumentWriter& writer, const std::pair<A, B>& value) {
    ArgumentCodec<A>::Write(writer, value.first);
    ArgumentCodec<B>::Write(writer, value.second);
  }
  static Value Read(ArgumentReader& reader) {
    return Value{ArgumentCodec<A>::Read(reader), ArgumentCodec<B>::Read(reader)};
  }
};

// A byte of its own stands before the values, so that an empty one has one too.
template <class... T>
struct ArgumentCodec<std::tuple<T...>> {
  using Value = std::tuple<typename ArgumentCodec<T>::Value...>;

  static size_t Bytes(const std::tuple<T...>& value) {
    return std::apply([](const T&... each) { return (size_t{1} + ... + ArgumentCodec<T>::Bytes(each)); },
                      value);
  }
  static void Write(ArgumentWriter& writer, const std::tuple<T...>& value) {
    writer.Write("", 1);
    std::apply([&](const T&... each) { (ArgumentCodec<T>::Write(writer, each), ...); }, value);
  }
  static Value Read(ArgumentReader& reader) {
    if (reader.Take(1) != std::string_view("", 1)) reader.Fail();
    return Value{ArgumentCodec<T>::Read(reader)...};
  }
};

// Of what cannot be packed as it lies in memory.
template <class T, size_t N>
  requires(!PackedAsItLies<T>)
struct ArgumentCodec<std::array<T, N>> {
  using Element = ArgumentCodec<T>;
  using Value = std::array<typename Element::Value, N>;

  static size_t Bytes(const std::array<T, N>& values) {
    size_t bytes = 1;
    for (const T& value : values) bytes += Element::Bytes(value);
    return bytes;
  }
  static void Write(ArgumentWriter& writer, const std::array<T, N>& values) {
    writer.Write("", 1);
    for (const T& value : values) Element::Write(writer, value);
  }
  static Value Read(ArgumentReader& reader) {
    if (reader.Take(1) != std::string_view("", 1)) reader.Fail();
    return [&reader]<size_t... I>(std::index_sequence<I...>) {
      return Value{((void)I, Element::Read(reader))...};
    }(std::make_index_sequence<N>());
  }
};

}  // namespace ko::internal

#endif  // KO_PROCESS_ARGUMENT_CODEC_H_
