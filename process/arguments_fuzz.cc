#include "ko/process/arguments.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace {

// What can be unpacked is what Pack has written: packed again, it is the same bytes.
template <class... Values>
void Check(std::string_view bytes) {
  const auto values = ko::Unpack<Values...>(bytes);
  if (!values.ok()) return;
  const std::string again =
      std::apply([](const auto&... each) { return ko::Pack<ko::PackedAs<Values>...>(each...); }, *values);
  if (again != bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Check<int, bool>(bytes);
  Check<std::string, int64_t>(bytes);
  Check<std::vector<std::string>>(bytes);
  Check<std::vector<std::optional<std::pair<bool, std::string>>>>(bytes);
  Check<std::tuple<std::vector<bool>, std::optional<std::vector<int>>>>(bytes);
  Check<std::array<std::string, 2>, std::tuple<>>(bytes);
  return 0;
}
