#include "ko/manager/managed_body.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "ko/manager/self.h"

namespace ko {
namespace {

int Seven() { return 7; }
int SevenOfSelf(Self&) { return 7; }

// No body here looks at its Self, so none is needed to run them.
BodyResult RunBody(ManagedBody body) { return body(nullptr); }

TEST(ManagedBody, NothingReturnedIsSuccess) {
  bool ran = false;
  const BodyResult result = RunBody([&] { ran = true; });
  EXPECT_TRUE(ran);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.reason.ok());
}

TEST(ManagedBody, IntReturnedIsTheExitCode) {
  EXPECT_EQ(RunBody([] { return 7; }).exit_code, 7);
  EXPECT_EQ(RunBody([](Self&) { return 7; }).exit_code, 7);
}

TEST(ManagedBody, StatusReturnedIsTheReason) {
  const BodyResult failed = RunBody([](Self&) { return absl::NotFoundError("gone"); });
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(failed.reason, absl::NotFoundError("gone"));
  EXPECT_EQ(RunBody([] { return absl::OkStatus(); }).exit_code, 0);
}

TEST(ManagedBody, FunctionsAreBodies) {
  EXPECT_EQ(RunBody(Seven).exit_code, 7);
  EXPECT_EQ(RunBody(&SevenOfSelf).exit_code, 7);
}

TEST(ManagedBody, SelfIsTakenWhereTheCallableTakesOne) {
  EXPECT_TRUE(ManagedBody([](Self&) {}).takes_self());
  EXPECT_TRUE(ManagedBody(SevenOfSelf).takes_self());
  EXPECT_FALSE(ManagedBody([] {}).takes_self());
}

TEST(ManagedBody, CallableThatTakesAnythingTakesSelf) {
  EXPECT_TRUE(ManagedBody([](auto&&...) {}).takes_self());
}

TEST(ManagedBody, MoveOnlyCallableIsABody) {
  EXPECT_EQ(RunBody([seven = std::make_unique<int>(7)](Self&) { return *seven; }).exit_code, 7);
}

TEST(ManagedBody, CallableIsCopiedFromAnLvalue) {
  const auto held = std::make_shared<int>(7);
  const auto callable = [held] { return *held; };
  ManagedBody body(callable);
  EXPECT_EQ(held.use_count(), 3);
  EXPECT_EQ(body(nullptr).exit_code, 7);
}

TEST(ManagedBody, RunsManyTimes) {
  ManagedBody body([n = 0]() mutable { return ++n; });
  EXPECT_EQ(body(nullptr).exit_code, 1);
  EXPECT_EQ(body(nullptr).exit_code, 2);
}

TEST(ManagedBody, EmptyCallablesAreEmptyBodies) {
  EXPECT_FALSE(ManagedBody(std::function<void()>()));
  EXPECT_FALSE(ManagedBody(std::function<int(Self&)>()));
  EXPECT_FALSE(ManagedBody(static_cast<void (*)()>(nullptr)));
  EXPECT_FALSE(ManagedBody(static_cast<void (*)(Self&)>(nullptr)));
  EXPECT_FALSE(ManagedBody(absl::AnyInvocable<void()>()));
}

TEST(ManagedBody, LambdaIsNotEmpty) {
  EXPECT_TRUE(ManagedBody([] {}));
}

TEST(ManagedBody, CallableThatTakesSomethingElseIsNone) {
  const auto takes_int = [](int) {};
  EXPECT_FALSE((std::is_constructible_v<ManagedBody, decltype(takes_int)>));
  EXPECT_FALSE((std::is_constructible_v<ManagedBody, int>));
}

}  // namespace
}  // namespace ko
