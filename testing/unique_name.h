#ifndef KO_TESTING_UNIQUE_NAME_H_
#define KO_TESTING_UNIQUE_NAME_H_

#include <random>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace ko::testing {

// For an object that the whole machine sees: tests run side by side, each in a pid namespace of its own.
inline std::string UniqueName(std::string_view prefix) {
  std::random_device random;
  return absl::StrCat(prefix, ".", absl::Hex(random(), absl::kZeroPad8),
                      absl::Hex(random(), absl::kZeroPad8));
}

}  // namespace ko::testing

#endif  // KO_TESTING_UNIQUE_NAME_H_
