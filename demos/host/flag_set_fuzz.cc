#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "demos/host/flag_set.h"

// A command line of any bytes, an argument a line: flags that have been set, or an InvalidArgument that says something; and a
// number and a boolean are set again by their own text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> arguments = absl::StrSplit(text, '\n', absl::SkipEmpty());
  bool quiet = false;
  int workers = 3;
  double share = 0.5;
  std::string name = "demo";
  absl::Duration pause = absl::Seconds(1);
  std::vector<std::string> files;
  ko::demos::FlagSet flags;
  flags.Add("quiet", &quiet, "help");
  flags.Add("workers", &workers, "help");
  flags.Add("share", &share, "help");
  flags.Add("name", &name, "help");
  flags.Add("pause", &pause, "help");
  flags.Add("files", &files, "help");
  const absl::Status status = flags.Parse(arguments);
  if (!status.ok()) {
    if (!absl::IsInvalidArgument(status) || status.message().empty()) std::abort();
    return 0;
  }
  const int parsed = workers;
  const bool was_quiet = quiet;
  if (!flags
           .Parse(
               {absl::StrCat("--workers=", absl::UnparseFlag(workers)), was_quiet ? "--quiet" : "--noquiet"})
           .ok()) {
    std::abort();
  }
  if (workers != parsed || quiet != was_quiet) std::abort();
  return 0;
}
