#include "demos/prefork_http/response_head.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ko::demos {
namespace {

using ::testing::HasSubstr;

TEST(ResponseHeadTest, SaysWhatFollows) {
  EXPECT_EQ(WriteResponseHead({.content_type = "image/png", .content_bytes = 12, .keep_alive = true}),
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: image/png\r\n"
            "Content-Length: 12\r\nConnection: keep-alive\r\n\r\n");
}

TEST(ResponseHeadTest, AMethodThatIsNotAllowedNamesThoseThatAre) {
  const std::string head = WriteResponseHead({.status = 405});
  EXPECT_THAT(head, HasSubstr("405 Method Not Allowed\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nAllow: GET, HEAD\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nConnection: close\r\n\r\n"));
}

TEST(ContentTypeTest, FollowsTheExtension) {
  EXPECT_EQ(ContentType("a/b.HTML"), "text/html; charset=utf-8");
  EXPECT_EQ(ContentType("a.tar.png"), "image/png");
  EXPECT_EQ(ContentType("png"), "application/octet-stream");
  EXPECT_EQ(ContentType(""), "application/octet-stream");
}

}  // namespace
}  // namespace ko::demos
