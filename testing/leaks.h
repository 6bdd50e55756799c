#ifndef KO_TESTING_LEAKS_H_
#define KO_TESTING_LEAKS_H_

#include <gtest/gtest.h>
#include <sys/types.h>

#include <map>
#include <string>

namespace ko::testing {

// What a process has that code under test could leave behind or change for good: open descriptors, children
// (zombies too), shared mappings, signal mask and dispositions, working directory and umask. A value.
class ResourceSnapshot {
 public:
  static ResourceSnapshot Take();

  // What is there now and was not before, or is different, a line each; empty where all is as it was.
  std::string ChangesSince(const ResourceSnapshot& before) const;

 private:
  std::map<std::string, std::string> facts_;  // "fd 3" -> "/dev/null", "child 77" -> "Z", ...
};

// A test that fails when it leaves anything of that behind. Orphans of its children become its own children,
// so a daemon that is left running is seen as well; a test that makes orphans reaps them (waitpid).
class LeakCheckedTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

 private:
  ResourceSnapshot before_;
};

}  // namespace ko::testing

#endif  // KO_TESTING_LEAKS_H_
