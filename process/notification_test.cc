#include "ko/process/notification.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>

namespace ko {
namespace {

Notification With(void (*set)(Notification&)) {
  Notification notification;
  set(notification);
  return notification;
}

TEST(NotificationTest, EachLineIsTakenAsTheProtocolHasIt) {
  const struct {
    const char* message;
    void (*set)(Notification&);
  } kCases[] = {
      {"READY=1", [](Notification& n) { n.ready = true; }},
      {"READY=1\n", [](Notification& n) { n.ready = true; }},
      {"\n\nREADY=1\n\n", [](Notification& n) { n.ready = true; }},
      {"STOPPING=1", [](Notification& n) { n.stopping = true; }},
      {"READY=1\nSTOPPING=1", [](Notification& n) { n.stopping = true; }},
      {"STOPPING=1\nREADY=1", [](Notification& n) { n.ready = true; }},
      {"WATCHDOG=1", [](Notification& n) { n.watchdog = true; }},
      {"WATCHDOG=trigger", [](Notification& n) { n.watchdog_trigger = true; }},
      {"STATUS=3 of 4 = enough", [](Notification& n) { n.status = "3 of 4 = enough"; }},
      {"STATUS=a\nSTATUS=b", [](Notification& n) { n.status = "b"; }},
      {"STATUS=a\nSTATUS=", [](Notification&) {}},
      {"STATUS=gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80",
       [](Notification& n) { n.status = "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80"; }},
      {"MAINPID=77", [](Notification& n) { n.main_pid = 77; }},
      {"MAINPID=2147483647", [](Notification& n) { n.main_pid = 2147483647; }},
      {"EXTEND_TIMEOUT_USEC=2500000", [](Notification& n) { n.extend_timeout = absl::Milliseconds(2500); }},
      {"EXTEND_TIMEOUT_USEC=9223372036854775807",
       [](Notification& n) { n.extend_timeout = absl::Microseconds(std::numeric_limits<int64_t>::max()); }},
      {"READY=1\nSTATUS=up\nMAINPID=5\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=1\nX_MINE=2",
       [](Notification& n) {
         n.ready = n.watchdog = true;
         n.status = "up";
         n.main_pid = 5;
         n.extend_timeout = absl::Microseconds(1);
       }},
  };
  for (const auto& each : kCases) EXPECT_EQ(ParseNotification(each.message), With(each.set)) << each.message;
}

TEST(NotificationTest, LinesThatMakeNoSenseAreLeftOutAndTheOthersTaken) {
  for (const char* line : {
           "",
           "=",
           "READY",
           "READY=",
           "READY=0",
           "READY=11",
           "READY=1 ",
           " READY=1",
           "ready=1",
           "xREADY=1",
           "READY=1\r",
           "STOPPING=yes",
           "WATCHDOG=",
           "WATCHDOG=2",
           "WATCHDOG=TRIGGER",
           "WATCHDOG_USEC=5",
           "MAINPID=",
           "MAINPID=0",
           "MAINPID=-1",
           "MAINPID=+7",
           "MAINPID= 7",
           "MAINPID=7 ",
           "MAINPID=7x",
           "MAINPID=0x7",
           "MAINPID=2147483648",
           "MAINPID=99999999999999999999",
           "EXTEND_TIMEOUT_USEC=",
           "EXTEND_TIMEOUT_USEC=0",
           "EXTEND_TIMEOUT_USEC=-5",
           "EXTEND_TIMEOUT_USEC=1.5",
           "EXTEND_TIMEOUT_USEC=infinity",
           "EXTEND_TIMEOUT_USEC=9223372036854775808",
           "RELOADING=1",
           "FDSTORE=1",
           "STATUS=\x80",
           "STATUS=\xFF\xFE",
           "STATUS=cut \xE2\x82",
           "STATUS=overlong \xC0\xAF",
           "STATUS=overlong \xE0\x80\xAF",
           "STATUS=surrogate \xED\xA0\x80",
           "STATUS=above \xF4\x90\x80\x80",
           "STATUS=overlong \xF0\x8F\xBF\xBF",
           "\x01\x02\x03",
       }) {
    EXPECT_EQ(ParseNotification(std::string(line) + "\nMAINPID=5"),
              With([](Notification& n) { n.main_pid = 5; }))
        << line;
    EXPECT_EQ(ParseNotification(std::string("MAINPID=5\n") + line),
              With([](Notification& n) { n.main_pid = 5; }))
        << line;
  }
}

TEST(NotificationTest, MessageThatIsNoneIsIgnored) {
  EXPECT_EQ(ParseNotification(""), std::nullopt);
  EXPECT_EQ(ParseNotification(std::string(1, '\0')), std::nullopt);
  EXPECT_EQ(ParseNotification(std::string("READY=1\0\0", 9)), std::nullopt);
  EXPECT_EQ(ParseNotification(std::string("STATUS=a\0READY=1", 16)), std::nullopt);
  EXPECT_EQ(ParseNotification(std::string("\0READY=1", 8)), std::nullopt);
  EXPECT_EQ(ParseNotification("READY=1\n" + std::string(kMaxNotificationBytes, 'x')), std::nullopt);
  EXPECT_EQ(ParseNotification(std::string(1 << 20, '\n')), std::nullopt);
}

TEST(NotificationTest, NulAtTheEndIsAllowedAndTheLongestMessageIsTaken) {
  EXPECT_EQ(ParseNotification(std::string("READY=1\0", 8)), With([](Notification& n) { n.ready = true; }));
  const std::string head = "READY=1\nSTATUS=";
  const std::string status(kMaxNotificationBytes - head.size(), 'x');
  const std::optional<Notification> longest = ParseNotification(head + status);
  ASSERT_TRUE(longest.has_value());
  EXPECT_TRUE(longest->ready);
  EXPECT_EQ(longest->status, status);
}

}  // namespace
}  // namespace ko
