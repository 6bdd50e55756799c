// The main job on a broker: parts of it that run apart, as they would on different machines.

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "demos/host/host.h"
#include "demos/testing/run_demo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/amqp/testing/rabbitmq_server.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class WorkersOnBrokerTest : public testing::LeakCheckedTest {
 protected:
  static constexpr int kFiles = 120;

  void SetUp() override {
    for (int i = 0; i < kFiles; ++i) files_.Write(absl::StrCat("file ", i), std::string(i * 37 % 1000, '\n'));
    testing::LeakCheckedTest::SetUp();
  }

  // Orphans of the broker and of what was killed are this test's children, and all of them end.
  void TearDown() override {
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
    testing::LeakCheckedTest::TearDown();
  }

  static std::vector<std::string> Args(std::vector<std::string> more) {
    more.insert(more.begin(), {"run", "workers"});
    return more;
  }
  std::string Path() const { return "--path=" + files_.path(); }
  std::string File(std::string_view name) const { return results_.File(std::string(name)); }
  std::string Out(std::string_view name) const { return absl::StrCat("--out=", File(name)); }

  // What the same job gives on shared memory.
  std::string Expected(const std::string& job) const {
    const auto result = RunDemo(Args({Path(), job, Out("expected")}));
    EXPECT_TRUE(result.status.ok()) << result.err;
    return testing::ReadFile(File("expected"));
  }

  // One that takes a file's sum once there is a file "go".
  std::string HeldJob() {
    const std::string wait = absl::StrCat("while [ ! -e ", File("go"), " ]; do sleep 0.01; done\n");
    return "--job=exec:" + results_.Write("script", "#!/bin/sh\n" + wait + "exec sha256sum \"$1\"\n", 0755);
  }
  void AwaitTwoJobs(const RunningDemo& run) const {
    while (DescendantsTitled(run.pid(), "Job: processing " + files_.path()).size() < 2) ::sched_yield();
  }

  static void AwaitAllAcknowledged(const testing::RabbitMqServer& server) {
    while (server.CountMessages("files") > 0) {
    }
  }

  testing::TempDir files_;
  testing::TempDir results_;
};

// The command lines of a demo's processes, as ps shows them to everybody.
std::string CommandLines(pid_t root) {
  std::string lines = CommandLine(root);
  for (const pid_t pid : Descendants(root)) {
    absl::StrAppend(&lines, "\n", CommandLine(pid));
  }
  return lines;
}

TEST_F(WorkersOnBrokerTest, WhatOneRunPublishesAnotherDoesAsOnSharedMemory) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  const std::string queue = "--queue=" + server.Url("files");

  const auto published = RunDemo(Args({Path(), queue, "--role=publish"}));
  EXPECT_TRUE(published.status.ok()) << published.err;
  EXPECT_THAT(published.out, HasSubstr("120 of 120 files published"));
  EXPECT_EQ(server.CountMessages("files"), kFiles);

  RunningDemo work(Args({queue, "--role=work", "--workers=2", "--crash_percent=20", Out("out")}));
  AwaitAllAcknowledged(server);
  ASSERT_TRUE(work.child().Kill(SIGTERM).ok());
  const auto worked = work.Finish();
  EXPECT_TRUE(worked.status.ok()) << worked.err;
  EXPECT_THAT(worked.out, AllOf(HasSubstr("120 of 120 files done"), HasSubstr(" 0 failed")));
  EXPECT_EQ(testing::ReadFile(File("out")), Expected("--job=count"));
}

TEST_F(WorkersOnBrokerTest, TwoRunsShareTheWorkThoughTheirWorkersAreKilled) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  const std::string queue = "--queue=" + server.Url("files");
  const std::string job = HeldJob();  // nothing ends before both runs have been seen at work
  ASSERT_TRUE(RunDemo(Args({Path(), queue, "--role=publish"})).status.ok());
  RunningDemo first(Args({queue, "--role=work", "--workers=2", job, Out("first")}));
  RunningDemo second(Args({queue, "--role=work", "--workers=2", job, Out("second")}));
  for (RunningDemo* run : {&first, &second}) {
    AwaitTwoJobs(*run);
    EXPECT_THAT(CommandLines(run->pid()), AllOf(HasSubstr("Master: 2 workers"), HasSubstr("Worker: 1 of 2"),
                                                HasSubstr("Worker: 2 of 2"), Not(HasSubstr("guest"))));
  }
  results_.Write("go", "");

  for (int kills = 0; kills < 12; ++kills) {
    const pid_t worker = AwaitDescendantTitled((kills % 2 == 0 ? first : second).pid(), "Worker: ");
    ASSERT_NE(worker, 0);
    ::kill(worker, SIGKILL);
    testing::AwaitEnded(worker);
  }
  AwaitAllAcknowledged(server);

  std::set<std::string> lines;
  for (const auto& [run, name] : {std::pair(&first, "first"), std::pair(&second, "second")}) {
    ASSERT_TRUE(run->child().Kill(SIGINT).ok());
    const auto result = run->Finish();
    EXPECT_TRUE(result.status.ok()) << result.err;
    EXPECT_THAT(result.out + result.err, Not(HasSubstr("guest")));
    const std::string out = testing::ReadFile(File(name));
    for (std::string_view line : absl::StrSplit(out, '\n', absl::SkipEmpty())) lines.emplace(line);
  }
  std::vector<std::string> expected = absl::StrSplit(Expected(job), '\n', absl::SkipEmpty());
  EXPECT_EQ(expected.size(), static_cast<size_t>(kFiles));
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(absl::StrJoin(lines, "\n"), absl::StrJoin(expected, "\n"));
}

TEST_F(WorkersOnBrokerTest, ABrokerThatIsKilledAndStartedAgainLosesNothing) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  const std::string queue = "--queue=" + server.Url("files");
  const std::string job = HeldJob();
  ASSERT_TRUE(RunDemo(Args({Path(), queue, "--role=publish"})).status.ok());
  RunningDemo work(Args({queue, "--role=work", "--workers=2", job, Out("out")}));
  AwaitTwoJobs(work);
  server.Kill();
  results_.Write("go", "");
  server.Start();
  AwaitAllAcknowledged(server);
  ASSERT_TRUE(work.child().Kill(SIGTERM).ok());
  const auto worked = work.Finish();
  EXPECT_TRUE(worked.status.ok()) << worked.err;
  EXPECT_EQ(testing::ReadFile(File("out")), Expected(job));
}

TEST_F(WorkersOnBrokerTest, OneRunDoesBothAndEndsByItself) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  const auto result =
      RunDemo(Args({Path(), "--queue=" + server.Url("files", "&prefetch=5"), "--workers=3", Out("out")}));
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_THAT(result.out, HasSubstr("120 of 120 files done"));
  EXPECT_EQ(testing::ReadFile(File("out")), Expected("--job=count"));
  EXPECT_EQ(server.CountMessages("files"), 0);
}

TEST_F(WorkersOnBrokerTest, IdleWorkersLeaveAndTheirRunEndsWell) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  const auto result = RunDemo(
      Args({"--queue=" + server.Url("files"), "--role=work", "--workers=2", "--exit_when_idle=100ms"}));
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_THAT(result.out, HasSubstr("0 of 0 files done"));
}

TEST_F(WorkersOnBrokerTest, ABrokerThatCannotBeUsedIsToldOfWithoutThePassword) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  const std::string address = absl::StrCat("127.0.0.1:", server.port());
  const struct {
    std::string url;
    std::string said;
  } cases[] = {
      {"amqp://guest:mysecret@" + address + "/?queue=files", address},
      {"amqp://guest:mysecret@127.0.0.1:1/?queue=files", "127.0.0.1:1"},
      {"amqp://guest:mysecret@host.invalid/?queue=files", "host.invalid"},
  };
  for (const auto& each : cases) {
    for (const char* role : {"both", "publish", "work"}) {
      const auto result = RunDemo(Args({Path(), "--queue=" + each.url, absl::StrCat("--role=", role)}));
      EXPECT_EQ(result.status, ExitStatus::Exited(1)) << each.url;
      EXPECT_THAT(result.err, AllOf(HasSubstr(each.said), Not(HasSubstr("mysecret"))));
      EXPECT_THAT(result.out, Not(HasSubstr("mysecret")));
    }
  }
}

TEST_F(WorkersOnBrokerTest, BadFlagsAreNamedWithoutThePassword) {
  const std::string url = "--queue=amqp://user:mysecret@127.0.0.1:1/?queue=files";
  const struct {
    std::vector<std::string> flags;
    const char* said;
  } cases[] = {
      {{url, "--role=watch"}, "--role=watch"},
      {{"--role=publish"}, "--role=publish with --queue=shm:"},
      {{"--role=work"}, "--role=work with --queue=shm:"},
      {{"--exit_when_idle=1s"}, "--exit_when_idle with --queue=shm:"},
      {{url, "--exit_when_idle=-1s"}, "--exit_when_idle=-1s"},
      {{"--queue=amqp://user:mysecret@127.0.0.1:port/?queue=files"}, "--queue=amqp:..."},
      {{"--queue=amqp://user:mysecret@127.0.0.1/"}, "queue"},
      {{"--queue=amqps://user:mysecret@127.0.0.1/?queue=files&colour=red"}, "colour"},
      {{"--queue=user:mysecret@127.0.0.1/?queue=files"}, "amqp://HOST?queue=NAME"},
      {{"--queue=mysecret"}, "--queue="},
      {{"--queu=amqp://user:mysecret@127.0.0.1/?queue=files"}, "--queu=amqp://"},
      {{"amqp://user:mysecret@127.0.0.1/?queue=files"}, "amqp://"},
  };
  for (const auto& each : cases) {
    const auto result = RunDemo(Args(each.flags));
    EXPECT_EQ(result.status, ExitStatus::Exited(kExitUsage)) << each.said;
    EXPECT_THAT(result.err, AllOf(HasSubstr(each.said), Not(HasSubstr("mysecret"))));
    EXPECT_EQ(result.out, "");
  }
}

}  // namespace
}  // namespace ko::demos
