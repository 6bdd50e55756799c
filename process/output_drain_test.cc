#include "ko/process/output_drain.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "ko/process/exec.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::ElementsAre;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;
using State = OutputDrain::State;

class OutputDrainTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    int fds[2];
    ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    read_.reset(fds[0]);
    write_.reset(fds[1]);
  }
  void TearDown() override {
    read_.reset();
    write_.reset();
    LeakCheckedTest::TearDown();
  }

  // Reads until the end, sleeping between the pieces.
  static void DrainAll(OutputDrain& drain, OutputTail& tail) {
    for (;;) {
      const absl::StatusOr<State> state = drain.Drain(tail);
      ASSERT_THAT(state, IsOk());
      if (*state == State::kEnded) return;
      pollfd fd = {drain.fd(), POLLIN, 0};
      if (*state == State::kEmptied) ::poll(&fd, 1, -1);
    }
  }

  os::UniqueFd read_, write_;
};

TEST_F(OutputDrainTest, EmptyPipeIsNoReasonToSleep) {
  absl::StatusOr<OutputDrain> drain = OutputDrain::Create(std::move(read_));
  ASSERT_THAT(drain, IsOk());
  OutputTail tail(100);
  EXPECT_THAT(drain->Drain(tail), IsOkAndHolds(State::kEmptied));
  EXPECT_EQ(::write(write_.get(), "hello", 5), 5);
  EXPECT_THAT(drain->Drain(tail), IsOkAndHolds(State::kEmptied));
  EXPECT_EQ(tail.Text(), "hello");
}

TEST_F(OutputDrainTest, LastBytesComeBeforeTheEnd) {
  absl::StatusOr<OutputDrain> drain = OutputDrain::Create(std::move(read_));
  ASSERT_THAT(drain, IsOk());
  EXPECT_EQ(::write(write_.get(), "last words", 10), 10);
  write_.reset();
  OutputTail tail(5);
  EXPECT_THAT(drain->Drain(tail), IsOkAndHolds(State::kEnded));
  EXPECT_EQ(tail.Text(), "words");
  EXPECT_THAT(drain->Drain(tail), IsOkAndHolds(State::kEnded)) << "as often as asked";
  EXPECT_EQ(tail.Text(), "words");
  const OutputDrain taken = *std::move(drain);
  EXPECT_THAT(drain->Drain(tail), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(OutputDrainTest, RoundEndsThoughTheWriterDoesNot) {
  absl::StatusOr<Child> child = Exec({.argv = {"yes"}, .stdout_to = Stdio::Pipe()});
  ASSERT_THAT(child, IsOk());
  absl::StatusOr<OutputDrain> drain = OutputDrain::Create(child->TakeStdout());
  ASSERT_THAT(drain, IsOk());
  OutputTail tail(4);
  absl::StatusOr<State> state = State::kEmptied;
  while (state.ok() && *state == State::kEmptied) {
    pollfd fd = {drain->fd(), POLLIN, 0};
    ::poll(&fd, 1, -1);
    state = drain->Drain(tail);
    if (tail.total_bytes() > 10 << 20) break;  // it may well be slower than its reader
  }
  ASSERT_THAT(state, IsOk());
  EXPECT_NE(*state, State::kEnded);
  EXPECT_EQ(tail.size_bytes(), 4u);
}

TEST_F(OutputDrainTest, CommandThatPrintsMuchEndsAndItsLastLinesAreKept) {
  absl::StatusOr<Child> child =
      Exec({.argv = {"seq", "1", "200000"}, .stdout_to = Stdio::Pipe(), .stderr_to = Stdio::Pipe()});
  ASSERT_THAT(child, IsOk());
  absl::StatusOr<OutputDrain> drain = OutputDrain::Create(child->TakeStdout());
  ASSERT_THAT(drain, IsOk());
  EXPECT_EQ(child->stdout_fd(), -1) << "taken";
  OutputTail tail(1000);
  DrainAll(*drain, tail);
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(tail.LastLines(2), ElementsAre("199999", "200000"));
  EXPECT_EQ(tail.size_bytes(), 1000u);
}

TEST_F(OutputDrainTest, WhatIsNoDescriptorIsRefused) {
  EXPECT_FALSE(OutputDrain::Create(os::UniqueFd()).ok());
}

}  // namespace
}  // namespace ko
