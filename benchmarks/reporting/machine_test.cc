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

Json Context(double load, double processors) {
  return Json(Json::Object{{"num_cpus", processors}, {"load_avg", Json::Array{load, 0.0, 0.0}}});
}

TEST(MachineTest, ABusyMachineIsTold) {
  EXPECT_EQ(BusyNote(Context(0.3, 2)), "");
  EXPECT_EQ(BusyNote(Context(1, 2)), "");
  EXPECT_THAT(BusyNote(Context(48.93, 2)), HasSubstr("a load of 48.9 on 2 processors"));
  EXPECT_EQ(BusyNote(Json()), "");
  EXPECT_EQ(BusyNote(Context(5, 0)), "");
}

}  // namespace
}  // namespace ko::benchmarks
