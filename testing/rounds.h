#ifndef KO_TESTING_ROUNDS_H_
#define KO_TESTING_ROUNDS_H_

#include <algorithm>

#include "absl/base/config.h"

namespace ko::testing {

// How often a test of a race repeats: as often as asked, a twentieth of it, but three times, under a sanitizer, where a fork
// takes tens of milliseconds.
constexpr int Rounds(int asked) {
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)
  return std::max(asked / 20, std::min(asked, 3));
#else
  return asked;
#endif
}

}  // namespace ko::testing

#endif  // KO_TESTING_ROUNDS_H_
