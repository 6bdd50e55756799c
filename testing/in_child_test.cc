#include "ko/testing/in_child.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "ko/testing/leaks.h"

namespace ko::testing {
namespace {

class InChildTest : public LeakCheckedTest {};

TEST_F(InChildTest, HandsBackWhatTheCallableReturned) {
  const InChildResult result = InChild([] { return std::string("a\0b", 3); });
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.value, std::string("a\0b", 3));
}

TEST_F(InChildTest, HandsBackWhatWasPrinted) {
  const InChildResult result = InChild([] {
    std::printf("to stdout");
    std::cerr << "to stderr";
  });
  EXPECT_EQ(result.out, "to stdout");
  EXPECT_EQ(result.err, "to stderr");
}

TEST_F(InChildTest, TellsExitCode) {
  const InChildResult result = InChild([] { ::_exit(7); });
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.term_signal, std::nullopt);
}

TEST_F(InChildTest, TellsSignal) {
  const InChildResult result = InChild([] { std::raise(SIGKILL); });
  EXPECT_EQ(result.term_signal, SIGKILL);
  EXPECT_EQ(result.exit_code, std::nullopt);
}

TEST_F(InChildTest, LeavesThisProcessAlone) {
  int value = 1;
  InChild([&value] { value = 2; });
  EXPECT_EQ(value, 1);
}

TEST_F(InChildTest, FailedExpectationInTheChildFailsTheTest) {
  EXPECT_NONFATAL_FAILURE(InChild([] { EXPECT_EQ(1, 2) << "the reason"; }), "the reason");
}

TEST_F(InChildTest, FailureBeforeASuddenEndFailsTheTest) {
  EXPECT_NONFATAL_FAILURE(InChild([] {
                            ADD_FAILURE() << "the reason";
                            ::_exit(0);
                          }),
                          "the reason");
}

TEST_F(InChildTest, ChildThatHangsIsKilledAndFailsTheTest) {
  EXPECT_NONFATAL_FAILURE(InChild([] { ::pause(); }, absl::Milliseconds(10)), "still running");
}

}  // namespace
}  // namespace ko::testing
