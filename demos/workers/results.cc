#include "demos/workers/results.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ko::demos {

Results::Results(const std::vector<std::string>& paths, Options options) : options_(options) {
  for (const std::string& path : paths) entries_.try_emplace(entries_.end(), path);
}

void Results::Add(ResultMessage result) {
  if (options_.of_others) entries_.try_emplace(result.path);
  const auto found = entries_.find(result.path);
  if (found == entries_.end() || found->second.state != State::kOpen) return;
  Entry& entry = found->second;
  entry.state = result.ok ? State::kSucceeded : State::kFailed;
  if (options_.keep_texts || !result.ok) entry.text = std::move(result.text);
  ++(result.ok ? succeeded_ : failed_);
}

std::vector<std::string> Results::Failures(size_t most) const {
  std::vector<std::string> failures;
  for (const auto& [path, entry] : entries_) {
    if (failures.size() == most) break;
    if (entry.state == State::kFailed) failures.push_back(absl::StrCat(path, ": ", entry.text));
  }
  return failures;
}

absl::Status Results::WriteTo(const std::string& file) const {
  const std::string unfinished = absl::StrCat(file, ".part");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(unfinished.c_str(), "we"),
                                                            std::fclose);
  if (out == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("open(", unfinished, ")"));
  for (const auto& [path, entry] : entries_) {
    if (entry.state == State::kSucceeded) std::fwrite(entry.text.data(), 1, entry.text.size(), out.get());
  }
  if (std::fflush(out.get()) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("write(", unfinished, ")"));
  if (std::rename(unfinished.c_str(), file.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rename(", file, ")"));
  }
  return absl::OkStatus();
}

}  // namespace ko::demos
