#include "ko/manager/record_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "ko/manager/process_record.h"

namespace ko {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::shared_ptr<ProcessRecord> Record(uint64_t id) {
  auto record = std::make_shared<ProcessRecord>();
  record->id = id;
  return record;
}

std::vector<uint64_t> Ids(const RecordList& list) {
  std::vector<uint64_t> ids;
  for (const auto& record : list.NewestFirst()) ids.push_back(record->id);
  return ids;
}

class RecordListTest : public ::testing::Test {
 protected:
  void Add(std::initializer_list<uint64_t> ids) {
    for (const uint64_t id : ids) list_.Add(id, Record(id));
  }

  RecordList list_;
};

TEST_F(RecordListTest, IsEmptyAtFirst) {
  EXPECT_TRUE(list_.empty());
  EXPECT_EQ(list_.size(), 0u);
  EXPECT_THAT(Ids(list_), IsEmpty());
}

TEST_F(RecordListTest, NewestComesFirst) {
  Add({1, 2, 5});
  EXPECT_THAT(Ids(list_), ElementsAre(5, 2, 1));
  EXPECT_EQ(list_.size(), 3u);
}

TEST_F(RecordListTest, RemovedOneIsGoneWhereverItWas) {
  for (const uint64_t removed : {1, 2, 3}) {
    list_ = RecordList();
    Add({1, 2, 3});
    list_.Remove(removed);
    EXPECT_EQ(list_.size(), 2u);
    EXPECT_THAT(Ids(list_), ::testing::Not(::testing::Contains(removed)));
  }
}

TEST_F(RecordListTest, KeepsItsRecordsAliveAndLetsThemGo) {
  std::weak_ptr<ProcessRecord> removed, moved, replaced;
  {
    RecordList list;
    for (uint64_t id = 1; id <= 3; ++id) {
      const auto record = Record(id);
      (id == 1 ? replaced : id == 2 ? removed : moved) = record;
      (id == 1 ? list_ : list).Add(id, record);
    }
    list.Remove(2);
    EXPECT_TRUE(removed.expired());
    list_ = std::move(list);
  }
  EXPECT_TRUE(replaced.expired());
  EXPECT_THAT(Ids(list_), ElementsAre(3));
  EXPECT_FALSE(moved.expired());
  list_ = RecordList();
  EXPECT_TRUE(moved.expired());
}

TEST_F(RecordListTest, OneThatIsNotThereIsNoneToRemove) {
  Add({2, 4, 6});
  for (const uint64_t id : {0, 3, 7}) list_.Remove(id);
  list_.Remove(4);
  list_.Remove(4);
  EXPECT_THAT(Ids(list_), ElementsAre(6, 2));
}

TEST_F(RecordListTest, RemovedOneIsFreed) {
  const auto record = Record(1);
  list_.Add(1, record);
  Add({2});  // so that it is not the last
  list_.Remove(1);
  EXPECT_EQ(record.use_count(), 1);
}

TEST_F(RecordListTest, WhatARemovedOneHasMayCallTheList) {
  auto record = Record(1);
  record->spec.body =
      std::make_shared<ManagedBody>([added = std::shared_ptr<int>(new int(0), [this](const int* number) {
                                       delete number;
                                       Add({3});
                                     })] { return *added; });
  list_.Add(1, std::move(record));
  Add({2});
  list_.Remove(1);
  EXPECT_THAT(Ids(list_), ElementsAre(3, 2));
}

TEST_F(RecordListTest, IsWhatAMapIs) {
  std::mt19937_64 random(7);
  std::map<uint64_t, bool> expected;
  uint64_t next = 1;
  for (int step = 0; step < 20'000; ++step) {
    // It grows for a while, and shrinks for a while.
    if (expected.empty() || random() % 10 < (step / 2000 % 2 == 0 ? 7u : 3u)) {
      Add({next});
      expected[next++] = true;
    } else {
      const auto removed = std::next(expected.begin(), static_cast<int64_t>(random() % expected.size()));
      list_.Remove(removed->first);
      expected.erase(removed);
    }
    ASSERT_EQ(list_.size(), expected.size());
    if (step % 500 != 0) continue;
    std::vector<uint64_t> newest_first;
    for (auto it = expected.rbegin(); it != expected.rend(); ++it) newest_first.push_back(it->first);
    ASSERT_EQ(Ids(list_), newest_first);
  }
}

}  // namespace
}  // namespace ko
