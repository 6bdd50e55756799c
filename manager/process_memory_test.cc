#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/manager/memory_slots.h"
#include "ko/manager/process_manager.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// The memory that each managed process shares with its manager.

namespace ko {
namespace {

using testing::Gate;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ProcessMemoryTest : public testing::LeakCheckedTest {};

TEST_F(ProcessMemoryTest, IsTheSameForTheChildAndTheManager) {
  ProcessManager manager;
  Gate asked;
  Process process = manager.Fork([&](Self& self) {
    EXPECT_TRUE(asked.Pass());
    self["answer"] = absl::StrCat("you asked for ", self["question"].Get<std::string>().value());
    return self.shared_memory().size() == 2 ? 0 : 1;
  });
  process["question"] = "life";
  asked.Open();
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_TRUE(process["answer"] == "you asked for life");
  EXPECT_EQ(process.shared_memory().size(), 2u);
}

TEST_F(ProcessMemoryTest, IsKeptOverRestartsWhateverEndsTheProcess) {
  ProcessManager manager;
  RestartPolicy policy;
  policy.initial_delay = absl::ZeroDuration();
  Process process = manager.Spawn(
      [](Self& self) {
        if ((self["starts"] += 1) < 4) ::raise(SIGKILL);
        return 0;
      },
      policy);
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(process.restarts(), 3);
  EXPECT_TRUE(process["starts"] == 4);
}

TEST_F(ProcessMemoryTest, EachProcessHasItsOwnAndANewOneIsEmpty) {
  ProcessManager manager;
  for (int round = 0; round < 3; ++round) {
    std::vector<Process> processes;
    for (int i = 0; i < 70; ++i) {  // more than one mapping has
      processes.push_back(manager.Fork([i](Self& self) {
        const bool was_empty = self.shared_memory().empty();
        self["i"] = i;
        return was_empty ? 0 : 1;
      }));
    }
    ASSERT_THAT(manager.Wait(), IsOk());
    for (int i = 0; i < 70; ++i) {
      EXPECT_EQ(processes[i].exit_status(), ExitStatus::Exited(0));
      EXPECT_TRUE(processes[i]["i"] == i);
    }
  }
}

TEST_F(ProcessMemoryTest, OutlivesTheManagerWithTheHandle) {
  Process process;
  EXPECT_THAT(process.shared_memory().Set("k", 1), StatusIs(absl::StatusCode::kFailedPrecondition));
  {
    ProcessManager manager;
    process = manager.Fork([](Self& self) { self["k"] = "v"; });
    ASSERT_THAT(process.Wait(), IsOk());
  }
  EXPECT_TRUE(process["k"] == "v");
}

TEST_F(ProcessMemoryTest, AChildThatDropsItsCopiesLeavesTheMemoryAlone) {
  MemorySlots slots;
  std::shared_ptr<ProcessMemory> memory = *slots.Allocate();
  memory->Use()["k"] = 1;
  InChild([&] { memory.reset(); });
  EXPECT_TRUE(memory->Use()["k"] == 1);
}

// The same place, however it was used, and by whom, is empty for the next.
TEST_F(ProcessMemoryTest, OneThatIsGivenBackIsEmptyForTheNext) {
  MemorySlots slots;
  for (int round = 0; round < 6; ++round) {
    std::shared_ptr<ProcessMemory> memory = *slots.Allocate();
    EXPECT_TRUE(memory->Use().empty());
    if (round % 3 == 1) memory->Use()["k"] = round;
    if (round % 3 == 2) {
      EXPECT_TRUE(InChild([&] { memory->Use()["k"] = round; }).ok());
    }
  }
}

TEST_F(ProcessMemoryTest, ThousandsAtATimeAreEachTheirOwn) {
  MemorySlots slots;
  std::vector<std::shared_ptr<ProcessMemory>> memories;
  for (int i = 0; i < 3000; ++i) {  // of mappings of three sizes
    memories.push_back(*slots.Allocate());
    memories.back()->Use()["i"] = i;
  }
  for (int i = 0; i < 3000; ++i) EXPECT_TRUE(memories[i]->Use()["i"] == i);
}

}  // namespace
}  // namespace ko
