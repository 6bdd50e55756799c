#include "ko/process/child_body.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace ko {
namespace {

int ReturnsFive() { return 5; }

TEST(ChildBody, NothingReturnedIsExitCodeZero) {
  bool ran = false;
  const BodyResult result = ChildBody([&ran] { ran = true; })();
  EXPECT_TRUE(ran);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.reason.ok());
}

TEST(ChildBody, IntIsTheExitCodeWithoutAReason) {
  const BodyResult result = ChildBody([] { return 7; })();
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_TRUE(result.reason.ok());
  EXPECT_EQ(ChildBody(ReturnsFive)().exit_code, 5);
  EXPECT_EQ(ChildBody(&ReturnsFive)().exit_code, 5);
}

TEST(ChildBody, StatusIsZeroOrOneWithItsReason) {
  const BodyResult good = ChildBody([] { return absl::OkStatus(); })();
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_TRUE(good.reason.ok());
  const BodyResult bad = ChildBody([] { return absl::NotFoundError("x"); })();
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_EQ(bad.reason, absl::NotFoundError("x"));
}

TEST(ChildBody, TakesMoveOnlyCallables) {
  auto owned = std::make_unique<int>(3);
  ChildBody body([owned = std::move(owned)] { return *owned; });
  ChildBody moved = std::move(body);
  EXPECT_EQ(moved().exit_code, 3);
}

TEST(ChildBody, CopiesALvalueCallable) {
  std::string text = "ab";
  auto callable = [text] { return static_cast<int>(text.size()); };
  ChildBody first(callable), second(callable);
  EXPECT_EQ(first().exit_code, 2);
  EXPECT_EQ(second().exit_code, 2);
}

TEST(ChildBody, MutableCallablesMayChangeThemselves) {
  int count = 0;
  ChildBody body([count]() mutable { return ++count; });
  EXPECT_EQ(body().exit_code, 1);
  EXPECT_EQ(body().exit_code, 2);
}

TEST(ChildBody, EmptyOnesAreFalse) {
  EXPECT_FALSE(ChildBody());
  EXPECT_FALSE(ChildBody(static_cast<int (*)()>(nullptr)));
  EXPECT_FALSE(ChildBody(std::function<void()>()));
  EXPECT_FALSE(ChildBody(absl::AnyInvocable<int()>()));
  EXPECT_TRUE(ChildBody([] {}));
  EXPECT_TRUE(ChildBody(std::function<void()>([] {})));
}

TEST(ChildBody, OnlyCallablesWithoutArgumentsConvert) {
  EXPECT_FALSE((std::is_constructible_v<ChildBody, int>));
  EXPECT_FALSE((std::is_constructible_v<ChildBody, int (*)(int)>));
  EXPECT_TRUE((std::is_constructible_v<ChildBody, void (*)()>));
}

}  // namespace
}  // namespace ko
