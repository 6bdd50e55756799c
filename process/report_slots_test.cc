#include "ko/process/report_slots.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ko/process/fork.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;

class ReportSlotsTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    slots_.emplace();
  }
  void TearDown() override {
    slots_.reset();
    LeakCheckedTest::TearDown();
  }
  Child Start(ChildBody body, ForkOptions options = {}) {
    std::variant<Child, ExitStatus> started = TryFork(std::move(body), std::move(options), &*slots_);
    EXPECT_TRUE(std::holds_alternative<Child>(started));
    return std::get<Child>(std::move(started));
  }
  static absl::Status EndOf(Child& child) { return child.Wait().value_or(ExitStatus::Unknown()).ToStatus(); }

  std::optional<ReportSlots> slots_;
};

TEST_F(ReportSlotsTest, EachChildsReportIsItsOwn) {
  std::vector<Child> children;
  for (int i = 0; i < 20; ++i) {
    children.push_back(Start([i] { return absl::DataLossError(std::to_string(i)); }));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(EndOf(children[static_cast<size_t>(i)]), absl::DataLossError(std::to_string(i)));
  }
}

TEST_F(ReportSlotsTest, ChildThatReportsNothingHasNothingOfAnEarlierOne) {
  for (int round = 0; round < 3; ++round) {
    {
      Child failed = Start([] { return absl::DataLossError("of another"); });
      EXPECT_EQ(EndOf(failed), absl::DataLossError("of another"));
    }
    Child silent = Start([] { return 3; });
    EXPECT_EQ(EndOf(silent), ExitStatus::Exited(3).ToStatus());
  }
}

TEST_F(ReportSlotsTest, StartThatFailsInTheChildIsReported) {
  ForkOptions options;
  options.setup = [] { return absl::InternalError("set-up"); };
  Child child = Start([] { return 0; }, std::move(options));
  EXPECT_EQ(EndOf(child), absl::InternalError("set-up"));
}

TEST_F(ReportSlotsTest, ProcessThatTheChildForkedByItselfReportsNothing) {
  Child child = Start([]() -> absl::Status {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) return absl::DataLossError("not the child's");
    siginfo_t info;
    ::waitid(P_PID, static_cast<id_t>(grandchild), &info, WEXITED);
    ::_exit(4);
  });
  EXPECT_EQ(EndOf(child), ExitStatus::Exited(4).ToStatus());
}

TEST_F(ReportSlotsTest, ChildsChildrenReportInSlotsOfTheirOwn) {
  Child sibling = Start([] { return absl::NotFoundError("sibling"); });
  Child child = Start([this] {
    Child grandchild = Start([] { return absl::DataLossError("grandchild"); });
    return EndOf(grandchild) == absl::DataLossError("grandchild") ? absl::OkStatus()
                                                                  : absl::InternalError("another report");
  });
  EXPECT_THAT(EndOf(child), IsOk());
  EXPECT_EQ(EndOf(sibling), absl::NotFoundError("sibling"));
}

TEST_F(ReportSlotsTest, SlotsAreDistinctAndUsedAgain) {
  std::set<ChildReport*> seen;
  for (int round = 0; round < 2; ++round) {
    std::vector<ReportSlot> all;
    std::set<ChildReport*> now;
    for (int i = 0; i < 3000; ++i) {
      absl::StatusOr<ReportSlot> slot = slots_->Allocate();
      ASSERT_THAT(slot, IsOk());
      now.insert(&slot->report());
      all.push_back(*std::move(slot));
    }
    EXPECT_EQ(now.size(), 3000u);
    if (round == 0) seen = now;
    EXPECT_EQ(now, seen);
  }
}

TEST_F(ReportSlotsTest, SlotOutlivesWhatHandedItOut) {
  Child child = Start([] { return absl::DataLossError("late"); });
  slots_.reset();
  EXPECT_EQ(EndOf(child), absl::DataLossError("late"));
  slots_.emplace();
}

}  // namespace
}  // namespace ko
