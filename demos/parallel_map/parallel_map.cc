#include "demos/parallel_map/parallel_map.h"

#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "demos/host/host.h"
#include "demos/parallel_map/digest.h"
#include "demos/workers/file_list.h"
#include "ko/ko.h"

namespace ko::demos {
namespace {

int Complain(const absl::Status& status, int exit_code) {
  absl::FPrintF(stderr, "parallel_map: %s\n", status.message());
  return exit_code;
}

}  // namespace

void ParallelMap::AddFlags(FlagSet& flags) {
  flags.Add("path", &path_, "the folder whose files are digested, or one file");
  flags.Add("workers", &workers_, "how many worker processes; 0: one for each processor");
  flags.Add("out", &out_, "the results, sorted by path: CRC32C LINES WORDS BYTES PATH");
  flags.Add("crash", &crash_, "the worker that digests the file in the middle of the list kills itself");
  flags.Add("retries", &retries_, "how often a file is tried again whose worker died");
}

int ParallelMap::Run() {
  absl::StatusOr<FileList> files = ListFiles(path_);
  if (!files.ok()) return Complain(files.status(), kExitUsage);
  for (const std::string& folder : files->skipped) absl::FPrintF(stderr, "skipped: %s\n", folder);

  absl::StatusOr<ko::ProcessPool> pool = ko::ProcessPool::Create({.workers = workers_});
  if (!pool.ok()) return Complain(pool.status(), kExitUsage);
  std::vector<std::pair<std::string_view, bool>> tasks;
  for (const std::string& path : files->paths) tasks.emplace_back(path, false);
  if (crash_ && !tasks.empty()) tasks[tasks.size() / 2].second = true;

  const absl::Time start = absl::Now();
  const std::vector<absl::StatusOr<Digest>> digests =
      pool->Map<&DigestFile>(tasks, {.retries = retries_, .progress = ko::ProgressLine("files")});
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);

  std::ofstream out;
  if (!out_.empty()) out.open(out_);
  Digest total;
  size_t failed = 0;
  for (size_t i = 0; i < digests.size(); ++i) {
    if (!digests[i].ok()) {
      ++failed;
      absl::FPrintF(stderr, "failed: %s: %s\n", files->paths[i], digests[i].status().message());
      continue;
    }
    const Digest& digest = *digests[i];
    total.lines += digest.lines;
    total.words += digest.words;
    total.bytes += digest.bytes;
    out << absl::StreamFormat("%08x %d %d %d %s\n", digest.crc32c, digest.lines, digest.words, digest.bytes,
                              files->paths[i]);
  }
  absl::PrintF("%d of %d files digested in %.2f s by %d workers: %d lines, %d words, %d bytes; %d failed\n",
               digests.size() - failed, digests.size(), seconds, pool->workers(), total.lines, total.words,
               total.bytes, failed);
  if (!out_.empty() && !out.flush()) {
    return Complain(absl::UnavailableError(absl::StrCat("cannot write ", out_)), 1);
  }
  return failed == 0 && files->skipped.empty() ? 0 : 1;
}

}  // namespace ko::demos
