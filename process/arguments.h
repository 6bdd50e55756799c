#ifndef KO_PROCESS_ARGUMENTS_H_
#define KO_PROCESS_ARGUMENTS_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "ko/process/argument_codec.h"

namespace ko {

// Values as bytes, for another process that runs this very program: arguments of a function that runs there, and its
// result.
//
//   const std::string bytes = ko::Pack(7, "seven", std::vector<double>{1, 2});
//   absl::StatusOr<std::tuple<int, std::string, std::vector<double>>> values =
//       ko::Unpack<int, std::string, std::vector<double>>(bytes);
//
// What can be packed: trivially copyable values (numbers, enums, structs of them, std::array), strings, and std::vector,
// std::optional, std::pair and std::tuple of what can be packed, nested as deep as you like. What only refers to its
// value arrives as one that owns it (PackedAs): std::string_view and const char* as std::string, absl::Span and
// std::span as std::vector. Pointers and references do not compile; one hidden in a struct does, and means nothing in
// another process.
//
// Threads: none. Fork: none. Signals: none. Crash: none.
//
// Errors: Unpack answers DataLoss to whatever Pack with the same types cannot have written.

// The type as which a T arrives.
template <class T>
using PackedAs = typename internal::ArgumentCodec<std::decay_t<T>>::Value;

// How many bytes the values take.
template <class... Args>
size_t PackedBytes(const Args&... args) {
  return (size_t{0} + ... + internal::ArgumentCodec<std::decay_t<Args>>::Bytes(args));
}

// Packs straight into a buffer; how many bytes were written. Errors: ResourceExhausted where there are fewer than
// PackedBytes(args...); then the buffer holds nothing of use.
template <class... Args>
absl::StatusOr<size_t> PackInto(absl::Span<char> buffer, const Args&... args) {
  internal::ArgumentWriter writer(buffer);
  (internal::ArgumentCodec<std::decay_t<Args>>::Write(writer, args), ...);
  if (!writer.ok()) {
    return absl::ResourceExhaustedError(absl::StrCat("PackInto: a buffer of ", buffer.size(),
                                                     " bytes is too small for ", PackedBytes(args...)));
  }
  return writer.written();
}

template <class... Args>
std::string Pack(const Args&... args) {
  std::string bytes(PackedBytes(args...), '\0');
  internal::ArgumentWriter writer(absl::MakeSpan(bytes));
  (internal::ArgumentCodec<std::decay_t<Args>>::Write(writer, args), ...);
  return bytes;
}

template <class... Args>
absl::StatusOr<std::tuple<PackedAs<Args>...>> Unpack(std::string_view bytes) {
  internal::ArgumentReader reader(bytes);
  // Braces: the values are read from left to right.
  std::tuple<PackedAs<Args>...> values{internal::ArgumentCodec<std::decay_t<Args>>::Read(reader)...};
  if (!reader.AtEnd()) {
    return absl::DataLossError(
        absl::StrCat("Unpack: ", bytes.size(), " bytes are not the packed values of the expected types"));
  }
  return values;
}

}  // namespace ko

#endif  // KO_PROCESS_ARGUMENTS_H_
