#include "ko/amqp/reconnect_policy.h"

#include <limits>

#include "gtest/gtest.h"

namespace ko {
namespace {

TEST(ReconnectDelayTest, GrowsFromNothingToItsLimit) {
  EXPECT_EQ(ReconnectDelay(0, 0), absl::ZeroDuration());
  EXPECT_EQ(ReconnectDelay(1, 0), absl::Milliseconds(50));
  EXPECT_EQ(ReconnectDelay(2, 0), absl::Milliseconds(100));
  EXPECT_EQ(ReconnectDelay(7, 0), absl::Milliseconds(3200));
  EXPECT_EQ(ReconnectDelay(8, 0), absl::Seconds(5));
  EXPECT_EQ(ReconnectDelay(std::numeric_limits<int>::max(), 0), absl::Seconds(5));
  EXPECT_EQ(ReconnectDelay(-1, 0), absl::ZeroDuration());
}

TEST(ReconnectDelayTest, TheShareTakesUpToHalf) {
  EXPECT_EQ(ReconnectDelay(2, 0.5), absl::Milliseconds(75));
  EXPECT_EQ(ReconnectDelay(2, 1), absl::Milliseconds(50));
  EXPECT_EQ(ReconnectDelay(2, 7), absl::Milliseconds(50));
}

TEST(MayReconnectTest, OnlyWhereTheBrokerIsAway) {
  EXPECT_TRUE(MayReconnect(absl::UnavailableError("")));
  EXPECT_TRUE(MayReconnect(absl::DeadlineExceededError("")));
  EXPECT_FALSE(MayReconnect(absl::OkStatus()));
  EXPECT_FALSE(MayReconnect(absl::UnauthenticatedError("")));
  EXPECT_FALSE(MayReconnect(absl::PermissionDeniedError("")));
  EXPECT_FALSE(MayReconnect(absl::AlreadyExistsError("")));
  EXPECT_FALSE(MayReconnect(absl::NotFoundError("")));
  EXPECT_FALSE(MayReconnect(absl::InvalidArgumentError("")));
}

}  // namespace
}  // namespace ko
