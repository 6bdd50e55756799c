#include "demos/workers/messages.h"

#include <string>

#include "gtest/gtest.h"

namespace ko::demos {
namespace {

TEST(MessagesTest, AJobComesBackAsItWas) {
  const JobMessage message{0xfedcba98, 2, std::string("a\0b\nc", 5)};
  const std::optional<JobMessage> back = JobMessage::Decode(message.Encode());
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->id, message.id);
  EXPECT_EQ(back->failures, message.failures);
  EXPECT_EQ(back->path, message.path);
}

TEST(MessagesTest, AResultComesBackAsItWas) {
  for (bool ok : {false, true}) {
    const std::optional<ResultMessage> back = ResultMessage::Decode(ResultMessage{7, ok, ""}.Encode());
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(back->id, 7u);
    EXPECT_EQ(back->ok, ok);
    EXPECT_EQ(back->text, "");
  }
}

TEST(MessagesTest, BytesThatAreTooFewAreNoMessage) {
  for (size_t size = 0; size < 8; ++size) {
    EXPECT_FALSE(JobMessage::Decode(std::string(size, 'x')).has_value());
    EXPECT_FALSE(ResultMessage::Decode(std::string(size, 'x')).has_value());
  }
}

}  // namespace
}  // namespace ko::demos
