#include "ko/pool/chunk_policy.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"

namespace ko::pool {
namespace {

TEST(ChunkPolicyTest, TheCallersChoiceIsTaken) {
  ChunkPolicy policy(4, 10);
  EXPECT_EQ(policy.Next(100), 10u);
  EXPECT_EQ(policy.Next(3), 3u);
  EXPECT_EQ(policy.Next(0), 0u);
  policy.Learn(10, absl::Hours(1));
  EXPECT_EQ(policy.Next(100), 10u);
}

TEST(ChunkPolicyTest, AFewAtFirst) {
  const ChunkPolicy policy(2, 0);
  EXPECT_EQ(policy.Next(1'000'000), 8u);
  EXPECT_EQ(policy.Next(5), 1u);
  EXPECT_EQ(policy.Next(0), 0u);
}

TEST(ChunkPolicyTest, SlowElementsGoOneByOne) {
  ChunkPolicy policy(2, 0);
  policy.Learn(8, absl::Seconds(8));
  EXPECT_EQ(policy.Next(1'000'000), 1u);
}

TEST(ChunkPolicyTest, QuickOnesGoInFairShares) {
  ChunkPolicy policy(2, 0);
  policy.Learn(8, absl::Nanoseconds(80));
  EXPECT_EQ(policy.Next(80'000), 10'000u);
  EXPECT_EQ(policy.Next(7), 1u);
}

TEST(ChunkPolicyTest, OthersAsManyAsTakeAChunksTime) {
  ChunkPolicy policy(2, 0);
  policy.Learn(10, absl::Microseconds(500));
  EXPECT_EQ(policy.Next(1'000'000), 100u);
}

TEST(ChunkPolicyTest, NonsenseIsNotLearnt) {
  ChunkPolicy policy(2, 0);
  policy.Learn(0, absl::Seconds(1));
  policy.Learn(5, -absl::Seconds(1));
  EXPECT_EQ(policy.Next(1'000'000), 8u);
  policy.Learn(5, absl::ZeroDuration());
  EXPECT_EQ(policy.Next(80), 10u);
}

TEST(ChunkPolicyTest, OnlyTheCallersSmallChunksAreQuick) {
  ChunkPolicy fixed(2, 1);
  EXPECT_FALSE(fixed.IsQuick());
  fixed.Learn(1, absl::Microseconds(1));
  EXPECT_TRUE(fixed.IsQuick());
  ChunkPolicy slow(2, 1000);
  slow.Learn(1, absl::Microseconds(1));
  EXPECT_FALSE(slow.IsQuick());
  ChunkPolicy automatic(2, 0);
  automatic.Learn(1, absl::Microseconds(1));
  EXPECT_FALSE(automatic.IsQuick());
}

TEST(ChunkPolicyTest, FewAreAheadWhereItCutsThem) {
  EXPECT_EQ(ChunkPolicy(1, 0).Ahead(125), 16u);
  EXPECT_EQ(ChunkPolicy(4, 0).Ahead(125), 32u);
  EXPECT_EQ(ChunkPolicy(500, 0).Ahead(125), 125u);
}

TEST(ChunkPolicyTest, TheCallersAreFarAheadAndQuickOnesFarther) {
  ChunkPolicy fixed(2, 1);
  EXPECT_EQ(fixed.Ahead(125), 125u);
  fixed.Learn(1, absl::Microseconds(1));
  EXPECT_EQ(fixed.Ahead(125), 768u);
}

}  // namespace
}  // namespace ko::pool
