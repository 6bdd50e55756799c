#include "ko/benchmarks/reporting/machine.h"

#include <gnu/libc-version.h>
#include <sys/utsname.h>

#include <fstream>
#include <string>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace ko::benchmarks {
namespace {

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    return std::string(absl::StripLeadingAsciiWhitespace(line.substr(line.find(':') + 1)));
  }
  return "unknown";
}

}  // namespace

Json::Object DescribeMachine() {
  utsname system = {};
  ::uname(&system);
  return {
      {"processor", ProcessorName()},
      {"kernel", absl::StrCat(system.sysname, " ", system.release, " ", system.machine)},
#if defined(__clang__)
      {"compiler", absl::StrCat("clang ", __clang_version__)},
#else
      {"compiler", absl::StrCat("g++ ", __VERSION__)},
#endif
#if defined(NDEBUG) && defined(__OPTIMIZE__)
      {"build", "optimized, without assertions (-c opt)"},
#else
      {"build", "not optimized: the figures say little; use -c opt"},
#endif
      {"C library", absl::StrCat("glibc ", ::gnu_get_libc_version())},
#if defined(ABSL_LTS_RELEASE_VERSION)
      {"Abseil", absl::StrCat(ABSL_LTS_RELEASE_VERSION, ".", ABSL_LTS_RELEASE_PATCH_LEVEL)},
#endif
  };
}

std::string BusyNote(const Json& context) {
  const Json::Array& loads = context["load_avg"].items();
  const double processors = context["num_cpus"].number();
  // Of the last minute. Half of the machine's processors is what two processes that talk to each other can do without.
  if (loads.empty() || processors <= 0 || loads[0].number() <= processors / 2) return "";
  return absl::StrFormat(
      "The machine had other work when this was begun (a load of %.1f on %.0f processors): single figures "
      "are "
      "rough.",
      loads[0].number(), processors);
}

}  // namespace ko::benchmarks
