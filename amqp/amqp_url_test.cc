#include "ko/amqp/amqp_url.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::StatusIs;

TEST(AmqpUrlTest, AllPartsAreTakenAndDecoded) {
  const auto url = AmqpUrl::Parse(
      "amqps://us%40er:p%3Ass%2f@broker.example:1234/my%2fhost?queue=a%20b&durable=false&prefetch=7"
      "&heartbeat=5&timeout=3&cacertfile=/ca.pem&certfile=/c.pem&keyfile=/k.pem");
  ASSERT_THAT(url, IsOk());
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->user, "us@er");
  EXPECT_EQ(url->password, "p:ss/");
  EXPECT_EQ(url->host, "broker.example");
  EXPECT_EQ(url->port, 1234);
  EXPECT_EQ(url->vhost, "my/host");
  EXPECT_EQ(url->queue, "a b");
  EXPECT_FALSE(url->durable);
  EXPECT_EQ(url->prefetch, 7);
  EXPECT_EQ(url->heartbeat, absl::Seconds(5));
  EXPECT_EQ(url->timeout, absl::Seconds(3));
  EXPECT_EQ(url->ca_file, "/ca.pem");
  EXPECT_EQ(url->certificate_file, "/c.pem");
  EXPECT_EQ(url->key_file, "/k.pem");
}

TEST(AmqpUrlTest, WhatIsLeftOutHasItsDefault) {
  const auto url = AmqpUrl::Parse("amqp://host?queue=q");
  ASSERT_THAT(url, IsOk());
  EXPECT_FALSE(url->tls);
  EXPECT_EQ(url->user, "guest");
  EXPECT_EQ(url->password, "guest");
  EXPECT_EQ(url->port, 5672);
  EXPECT_EQ(url->vhost, "/");
  EXPECT_TRUE(url->durable);
  EXPECT_FALSE(url->quorum);
  EXPECT_EQ(url->prefetch, 1);
  EXPECT_EQ(AmqpUrl::Parse("amqps://host/?queue=q")->port, 5671);
  EXPECT_EQ(AmqpUrl::Parse("amqps://host/?queue=q")->vhost, "/");
  EXPECT_EQ(AmqpUrl::Parse("amqp://host/%2f?queue=q")->vhost, "/");
  EXPECT_EQ(AmqpUrl::Parse("amqp://only@host?queue=q")->password, "guest");
  EXPECT_EQ(AmqpUrl::Parse("amqp://u:@host?queue=q")->password, "");
  EXPECT_TRUE(AmqpUrl::Parse("amqp://host?queue=q&type=quorum")->quorum);
}

TEST(AmqpUrlTest, AnIpv6AddressStandsInBrackets) {
  const auto url = AmqpUrl::Parse("amqp://u:p@[2001:db8::1]:99/v?queue=q");
  ASSERT_THAT(url, IsOk());
  EXPECT_EQ(url->host, "2001:db8::1");
  EXPECT_EQ(url->port, 99);
  EXPECT_EQ(url->Address(), "[2001:db8::1]:99");
  EXPECT_EQ(AmqpUrl::Parse("amqp://[::1]?queue=q")->port, 5672);
}

TEST(AmqpUrlTest, RedactedHasNeitherUserNorPassword) {
  const auto url = AmqpUrl::Parse("amqp://someone:secret@host:77/v?queue=q");
  ASSERT_THAT(url, IsOk());
  EXPECT_EQ(url->Redacted(), "amqp://host:77/v?queue=q");
}

TEST(AmqpUrlTest, BadPartsAreNamedAndThePasswordIsNot) {
  const struct {
    std::string url;
    const char* part;
  } cases[] = {
      {"", "scheme"},
      {"http://host?queue=q", "scheme"},
      {"AMQP:host", "scheme"},
      {"amqp://?queue=q", "host"},
      {"amqp://u:secret@?queue=q", "host"},
      {"amqp://u:secret@ho%zzst?queue=q", "host"},
      {"amqp://u:secret@[::1?queue=q", "host"},
      {"amqp://u:secret@[::1]x?queue=q", "host"},
      {"amqp://u:secret@[]?queue=q", "host"},
      {"amqp://u:secret@[host]?queue=q", "host"},
      {"amqp://u:secret@host:?queue=q", "port"},
      {"amqp://u:secret@[::1]:?queue=q", "port"},
      {"amqp://u:secret@host:0?queue=q", "port"},
      {"amqp://u:secret@host:65536?queue=q", "port"},
      {"amqp://u:secret@host:-1?queue=q", "port"},
      {"amqp://u:secret@host:99999999999999999999?queue=q", "port"},
      {"amqp://u:secret%@host?queue=q", "password"},
      {"amqp://u:secret%0@host?queue=q", "password"},
      {"amqp://u:secret%00@host?queue=q", "password"},
      {"amqp://u%g0:secret@host?queue=q", "user"},
      {"amqp://u:x/secret@host/v?queue=q", "vhost"},
      {"amqp://u:secret@host/%?queue=q", "vhost"},
      {"amqp://u:secret@host/a@b?queue=q", "vhost"},
      {absl::StrCat("amqp://u:secret@host/", std::string(256, 'v'), "?queue=q"), "vhost"},
      {"amqp://u:secret@host/v", "queue"},
      {"amqp://u:secret@host/v?queue=", "queue"},
      {absl::StrCat("amqp://u:secret@host?queue=", std::string(256, 'q')), "queue"},
      {"amqp://u:secret@host?queue=a&queue=b", "queue"},
      {"amqp://u:secret@host?queue=q&durable=maybe", "durable"},
      {"amqp://u:secret@host?queue=q&prefetch=0", "prefetch"},
      {"amqp://u:secret@host?queue=q&prefetch=65536", "prefetch"},
      {"amqp://u:secret@host?queue=q&prefetch=1x", "prefetch"},
      {"amqp://u:secret@host?queue=q&heartbeat=-1", "heartbeat"},
      {"amqp://u:secret@host?queue=q&timeout=0", "timeout"},
      {"amqp://u:secret@host?queue=q&type=stream", "type"},
      {"amqp://u:secret@host?queue=q&type=quorum&durable=false", "type"},
      {"amqp://u:secret@host?queue=q&colour=red", "colour"},
      {"amqp://u:secret@host?queue=q&cacertfile=/f", "cacertfile"},
      {"amqps://u:secret@host?queue=q&certfile=/f", "certfile"},
      {"amqps://u:secret@host?queue=q&keyfile=", "keyfile"},
      {"amqp://u:secret@host?queue=q#fragment", "fragment"},
  };
  for (const auto& each : cases) {
    const auto url = AmqpUrl::Parse(each.url);
    EXPECT_THAT(url,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(absl::StrCat(": ", each.part, ": "))))
        << each.url;
    EXPECT_THAT(url.status().ToString(), Not(HasSubstr("secret"))) << each.url;
  }
}

}  // namespace
}  // namespace ko
