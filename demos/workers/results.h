#ifndef KO_DEMOS_WORKERS_RESULTS_H_
#define KO_DEMOS_WORKERS_RESULTS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "demos/workers/messages.h"

namespace ko::demos {

// What became of each job, by its number. A job's first result counts; it may come more than once.
class Results {
 public:
  // Whether the texts are kept, for WriteTo.
  Results(size_t jobs, bool keep_texts) : entries_(jobs), keep_texts_(keep_texts) {}

  void Add(ResultMessage result);

  size_t size() const { return entries_.size(); }
  size_t succeeded() const { return succeeded_; }
  size_t failed() const { return failed_; }
  size_t done() const { return succeeded_ + failed_; }

  // "PATH: why" for the first few that failed.
  std::vector<std::string> Failures(const std::vector<std::string>& paths, size_t most) const;

  // Writes the texts of those that succeeded, in the order of the jobs, in place of the file's former content.
  absl::Status WriteTo(const std::string& file) const;

 private:
  enum class State : unsigned char { kOpen, kSucceeded, kFailed };
  struct Entry {
    State state = State::kOpen;
    std::string text;
  };

  std::vector<Entry> entries_;
  bool keep_texts_;
  size_t succeeded_ = 0;
  size_t failed_ = 0;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_RESULTS_H_
