#include "ko/process/report_file.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "ko/process/child_report.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

class ReportFileTest : public testing::LeakCheckedTest {};

TEST_F(ReportFileTest, WhatIsWrittenToAPageCompletesTheStatus) {
  const auto file = ReportFile::Create();
  ASSERT_THAT(file, testing::IsOk());
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<ReportPage> page = ReportPage::Take(*file);
    ASSERT_THAT(page, testing::IsOk());
    EXPECT_EQ(page->Complete(ExitStatus::Exited(1)).ToStatus(), ExitStatus::Exited(1).ToStatus())
        << "a page that was given back is empty";
    {
      const auto mapping = ReportFile::Map((*file)->descriptor(), page->index());
      ASSERT_THAT(mapping, testing::IsOk());
      static_cast<ChildReport*>(mapping->data())->BodyFailed(absl::NotFoundError("no such table"));
    }
    EXPECT_EQ(page->Complete(ExitStatus::Exited(1)).ToStatus(), absl::NotFoundError("no such table"));
  }
}

TEST_F(ReportFileTest, PagesAreDistinctAndUsedAgain) {
  const auto file = ReportFile::Create();
  ASSERT_THAT(file, testing::IsOk());
  std::set<uint32_t> indices;
  {
    std::vector<ReportPage> pages;
    for (int i = 0; i < 1000; ++i) {
      absl::StatusOr<ReportPage> page = ReportPage::Take(*file);
      ASSERT_THAT(page, testing::IsOk());
      indices.insert(page->index());
      pages.push_back(*std::move(page));
    }
    EXPECT_EQ(indices.size(), 1000u);
  }
  for (int i = 0; i < 1000; ++i) indices.insert(ReportPage::Take(*file)->index());
  EXPECT_EQ(indices.size(), 1000u);
}

}  // namespace
}  // namespace ko
