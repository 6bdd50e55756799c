#include "ko/testing/gate.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ko::testing {
namespace {

TEST(Gate, PassReturnsOnceForEachOpen) {
  Gate gate;
  gate.Open();
  gate.Open();
  gate.CloseOpener();
  EXPECT_TRUE(gate.Pass());
  EXPECT_TRUE(gate.Pass());
  EXPECT_FALSE(gate.Pass());
}

TEST(Gate, OpensFromAnotherProcess) {
  Gate gate;
  const pid_t pid = ::fork();
  if (pid == 0) {
    gate.Open();
    ::_exit(0);
  }
  gate.CloseOpener();
  EXPECT_TRUE(gate.Pass());
  EXPECT_FALSE(gate.Pass()) << "the child has ended, nobody is left";
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

}  // namespace
}  // namespace ko::testing
