#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "ko/process/command.h"
#include "ko/process/exec.h"
#include "ko/testing/read_all.h"
#include "ko/testing/temp_dir.h"

// Spin looks at all states of each model. A model of a mistake that the code does not make shows that it would find one.

namespace ko {
namespace {

struct Model {
  const char* name;
  const char* file;
  std::vector<std::string> defines;
  bool is_right = true;
  // Threads that serve for ever sleep in the end; such a model says itself who may.
  bool ends_asleep = false;
  // Of a small one the compiler's search for speed takes longer than Spin's for mistakes.
  bool is_large = false;
};

std::string RunIn(const std::string& folder, std::vector<std::string> argv) {
  const std::string program = argv[0];
  Command command = {.argv = std::move(argv), .cwd = folder};
  command.stdout_to = Stdio::File(folder + "/output");
  command.stderr_to = Stdio::AppendToFile(folder + "/output");
  absl::StatusOr<Child> child = Exec(command);
  if (!child.ok()) return child.status().ToString();
  const absl::StatusOr<ExitStatus> end = child->Wait();
  const std::string output = testing::ReadFile(folder + "/output");
  EXPECT_TRUE(end.ok() && end->ok()) << program << ": " << output;
  return output;
}

// The number that stands after, or before, the words.
int64_t NumberAt(std::string_view output, std::string_view words, bool before) {
  const size_t at = output.find(words);
  if (at == output.npos) return -1;
  std::string_view rest = before ? output.substr(0, at) : output.substr(at + words.size());
  rest = absl::StripAsciiWhitespace(rest);
  rest = before ? rest.substr(rest.find_last_of(" \n") + 1) : rest.substr(0, rest.find_first_of(" \n"));
  double number = -1;
  return absl::SimpleAtod(rest, &number) ? static_cast<int64_t>(number) : -1;
}

class ModelsTest : public ::testing::TestWithParam<Model> {};

TEST_P(ModelsTest, EachStateIsRight) {
  const Model& model = GetParam();
  const testing::TempDir folder;
  std::filesystem::copy_file(model.file, folder.File("model.pml"));
  std::vector<std::string> spin = {"spin"};
  spin.insert(spin.end(), model.defines.begin(), model.defines.end());
  spin.insert(spin.end(), {"-a", "model.pml"});
  RunIn(folder.path(), std::move(spin));
  RunIn(folder.path(), {"gcc", model.is_large ? "-O1" : "-O0", "-w", "-DSAFETY", "-DCOLLAPSE",
                        "-DMEMLIM=4000", "-o", "pan", "pan.c"});
  std::vector<std::string> pan = {"./pan", "-m1000000", "-n"};
  if (model.ends_asleep) pan.push_back("-E");
  const std::string output = RunIn(folder.path(), std::move(pan));
  const int64_t errors = NumberAt(output, "errors:", /*before=*/false);
  std::cout << model.name << ": " << NumberAt(output, "states, stored", /*before=*/true) << " states, "
            << errors << " errors\n";
  EXPECT_EQ(errors, model.is_right ? 0 : 1) << output;
  if (model.is_right) {
    EXPECT_EQ(output.find("Search not completed"), output.npos) << output;
  }
}

const Model kModels[] = {
    {"Lock", "models/robust_lock.pml", {}},
    {"Semaphore", "models/semaphore.pml", {}},
    {"SemaphoreOfTwo", "models/semaphore.pml", {"-DPERMITS=2", "-DDEATHS=1"}},
    {"ForgetfulSemaphore", "models/semaphore.pml", {"-DFORGETFUL"}, /*is_right=*/false},
    {"Channel", "models/channel.pml", {}, true, /*ends_asleep=*/true, /*is_large=*/true},
    {"ChannelOfOneCell", "models/channel.pml", {"-DCELLS=1", "-DSENDS=1"}, true, true},
    {"ChannelThatIsFull", "models/channel.pml", {"-DSENDERS=1", "-DSENDS=3"}, true, true},
    {"JobQueue", "models/job_queue.pml", {}, true, true},
    {"JobQueueOfTwoPublishers",
     "models/job_queue.pml",
     {"-DPUBLISHERS=2", "-DJOBS=1", "-DDEATHS=1"},
     true,
     true,
     true},
    {"TrustingJobQueue", "models/job_queue.pml", {"-DTRUSTING", "-DPUBLISHERS=2", "-DJOBS=1"}, false, true},
    {"ChannelOwner", "models/channel_owner.pml", {}, true, /*ends_asleep=*/true, /*is_large=*/true},
    {"ChannelOwnerWithoutBarriers", "models/channel_owner.pml", {"-DNO_BARRIER"}, false, true},
    {"ChannelOwnerWithoutItsFirstStep", "models/channel_owner.pml", {"-DNO_STEP"}, false, true},
    {"ChannelOwnerWhoseLifeIsNotWatched", "models/channel_owner.pml", {"-DNO_WATCH"}, false, true},
    {"ChannelOfOneLife", "models/channel.pml", {"-DONE_LIFE"}, false, true, true},
};

INSTANTIATE_TEST_SUITE_P(All, ModelsTest, ::testing::ValuesIn(kModels),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ko
