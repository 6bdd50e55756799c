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
    for (const char* text : {"", "1 2 a path\n"}) {
      const std::optional<ResultMessage> back =
          ResultMessage::Decode(ResultMessage{"a path", ok, text}.Encode());
      ASSERT_TRUE(back.has_value());
      EXPECT_EQ(back->path, "a path");
      EXPECT_EQ(back->ok, ok);
      EXPECT_EQ(back->text, text);
    }
  }
}

TEST(MessagesTest, BytesThatAreTooFewAreNoMessage) {
  for (size_t size = 0; size < 8; ++size) {
    EXPECT_FALSE(JobMessage::Decode(std::string(size, 'x')).has_value());
    EXPECT_FALSE(ResultMessage::Decode(std::string(size, 'x')).has_value());
  }
  const std::string result = ResultMessage{"a path", true, ""}.Encode();
  EXPECT_FALSE(ResultMessage::Decode(result.substr(0, result.size() - 1)).has_value());
}

}  // namespace
}  // namespace ko::demos
