#include "ko/process/fd_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Place = FdLayout::Place;
using testing::IsOk;
using testing::StatusIs;

TEST(FdLayoutTest, NothingTakesNoNumberAndNoVariable) {
  const absl::StatusOr<FdLayout> layout = LayOutFds({}, {});
  ASSERT_THAT(layout, IsOk());
  EXPECT_THAT(layout->places, IsEmpty());
  EXPECT_THAT(layout->environment, IsEmpty());
}

TEST(FdLayoutTest, ListenersAreNumberedFromThreeInOrderAndNamed) {
  const absl::StatusOr<FdLayout> layout = LayOutFds({{.fd = 9, .name = "http"}, {.fd = 7}, {.fd = 9}}, {});
  ASSERT_THAT(layout, IsOk());
  EXPECT_THAT(layout->places, ElementsAre(Place{9, 3}, Place{7, 4}, Place{9, 5}));
  EXPECT_THAT(layout->environment, ElementsAre("LISTEN_FDS=3", "LISTEN_FDNAMES=http:unknown:unknown"));
}

TEST(FdLayoutTest, OthersGetTheirOwnNumberOrTheLowestFreeOne) {
  const absl::StatusOr<FdLayout> layout = LayOutFds({{.fd = 20}}, {{.fd = 21, .variable = "A"},
                                                                   {.fd = 22, .variable = "B", .number = 4},
                                                                   {.fd = 0},
                                                                   {.fd = 23, .variable = "C", .number = 9},
                                                                   {.fd = 24, .variable = "D"}});
  ASSERT_THAT(layout, IsOk());
  EXPECT_THAT(layout->places,
              ElementsAre(Place{20, 3}, Place{22, 4}, Place{21, 5}, Place{0, 6}, Place{24, 7}, Place{23, 9}));
  EXPECT_THAT(layout->environment,
              ElementsAre("LISTEN_FDS=1", "LISTEN_FDNAMES=unknown", "A=5", "B=4", "C=9", "D=7"));
}

TEST(FdLayoutTest, WhatCannotBeIsRefusedAndNamed) {
  const struct {
    std::vector<ListenFd> listen;
    std::vector<InheritedFd> fds;
    const char* message;
  } kCases[] = {
      {{{.fd = -1}}, {}, "listen_fds: -1"},
      {{{.fd = 5, .name = "a:b"}}, {}, "\"a:b\""},
      {{{.fd = 5, .name = "a\nb"}}, {}, "cannot be a name"},
      {{{.fd = 5, .name = std::string(256, 'x')}}, {}, "cannot be a name"},
      {{}, {{.fd = -7}}, "fds: -7"},
      {{}, {{.fd = 5, .number = 2}}, "number 2 is below 3"},
      {{}, {{.fd = 5, .number = 2147483647}}, "number 2147483647 is beyond any limit"},
      {{}, {{.fd = 5, .number = -2}}, "number -2 is below 3"},
      {{}, {{.fd = 5, .number = 8}, {.fd = 6, .number = 8}}, "number 8 is taken twice"},
      {{{.fd = 5}}, {{.fd = 6, .number = 3}}, "number 3 is taken twice"},
      {{}, {{.fd = 5, .variable = "A=B"}}, "variable"},
      {{}, {{.fd = 5, .variable = std::string("A\0B", 3)}}, "variable"},
  };
  for (const auto& each : kCases) {
    EXPECT_THAT(LayOutFds(each.listen, each.fds),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(each.message)));
  }
  EXPECT_THAT(LayOutFds({{.fd = 5, .name = std::string(255, 'x')}}, {}), IsOk());
}

}  // namespace
}  // namespace ko
