#ifndef KO_TESTING_ROUNDS_H_
#define KO_TESTING_ROUNDS_H_

#include "absl/base/config.h"

namespace ko::testing {

// How often a test of a race repeats: as often as asked, a tenth of it under a sanitizer, where a fork takes
// ten times as long.
constexpr int Rounds(int asked) {
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)
  return asked / 10;
#else
  return asked;
#endif
}

}  // namespace ko::testing

#endif  // KO_TESTING_ROUNDS_H_
