#include "ko/benchmarks/reporting/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <string>

namespace ko::benchmarks {
namespace {

using ::testing::HasSubstr;

TEST(MachineTest, NamesWhatFiguresDependOn) {
  const Json machine(DescribeMachine());
  utsname system = {};
  ASSERT_EQ(::uname(&system), 0);
  EXPECT_THAT(std::string(machine["kernel"].text()), HasSubstr(system.release));
  EXPECT_THAT(std::string(machine["C library"].text()), HasSubstr("glibc 2."));
  for (const char* name : {"processor", "compiler", "build", "Abseil"}) {
    EXPECT_FALSE(machine[name].text().empty()) << name;
  }
}

}  // namespace
}  // namespace ko::benchmarks
