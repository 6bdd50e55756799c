#ifndef KO_TESTING_STATUS_MATCHERS_H_
#define KO_TESTING_STATUS_MATCHERS_H_

#include <gmock/gmock.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// For absl::Status and absl::StatusOr, as absl/status/status_matchers.h has them, which in the oldest release
// that is supported cannot be built as a Bazel module.
//
//   EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
//   EXPECT_THAT(Exec(command), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-program")));

namespace ko::testing {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <class T>
const absl::Status& StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

MATCHER_P(StatusIs, code, "is " + absl::StatusCodeToString(code)) {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

MATCHER_P2(StatusIs, code, message, "is " + absl::StatusCodeToString(code) + " with a message as asked") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code && ::testing::Matches(::testing::SafeMatcherCast<const std::string&>(
                                             message))(std::string(StatusOf(arg).message()));
}

MATCHER_P(IsOkAndHolds, value, "is OK and holds " + ::testing::PrintToString(value)) {
  if (!arg.ok()) {
    *result_listener << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(value, *arg, result_listener);
}

}  // namespace ko::testing

#endif  // KO_TESTING_STATUS_MATCHERS_H_
