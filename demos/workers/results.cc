#include "demos/workers/results.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ko::demos {

void Results::Add(ResultMessage result) {
  if (result.id >= entries_.size() || entries_[result.id].state != State::kOpen) return;
  Entry& entry = entries_[result.id];
  entry.state = result.ok ? State::kSucceeded : State::kFailed;
  if (keep_texts_ || !result.ok) entry.text = std::move(result.text);
  ++(result.ok ? succeeded_ : failed_);
}

std::vector<std::string> Results::Failures(const std::vector<std::string>& paths, size_t most) const {
  std::vector<std::string> failures;
  for (size_t id = 0; id < entries_.size() && failures.size() < most; ++id) {
    if (entries_[id].state == State::kFailed)
      failures.push_back(absl::StrCat(paths[id], ": ", entries_[id].text));
  }
  return failures;
}

absl::Status Results::WriteTo(const std::string& file) const {
  const std::string unfinished = absl::StrCat(file, ".part");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(unfinished.c_str(), "we"),
                                                            std::fclose);
  if (out == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("open(", unfinished, ")"));
  for (const Entry& entry : entries_) {
    if (entry.state == State::kSucceeded) std::fwrite(entry.text.data(), 1, entry.text.size(), out.get());
  }
  if (std::fflush(out.get()) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("write(", unfinished, ")"));
  if (std::rename(unfinished.c_str(), file.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rename(", file, ")"));
  }
  return absl::OkStatus();
}

}  // namespace ko::demos
