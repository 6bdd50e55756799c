#ifndef KO_DEMOS_WORKERS_RESULTS_H_
#define KO_DEMOS_WORKERS_RESULTS_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "demos/workers/messages.h"

namespace ko::demos {

// What became of each file, by its path. A file's first result counts; it may come more than once.
class Results {
 public:
  struct Options {
    bool keep_texts = false;  // for WriteTo
    bool of_others =
        false;  // whether results of files that are not among `paths` count: somebody else's jobs
  };
  Results(const std::vector<std::string>& paths, Options options);

  void Add(ResultMessage result);

  size_t size() const { return entries_.size(); }
  size_t succeeded() const { return succeeded_; }
  size_t failed() const { return failed_; }
  size_t done() const { return succeeded_ + failed_; }

  // "PATH: why" for the first few that failed.
  std::vector<std::string> Failures(size_t most) const;

  // Writes the texts of those that succeeded, sorted by path, in place of the file's former content.
  absl::Status WriteTo(const std::string& file) const;

 private:
  enum class State : unsigned char { kOpen, kSucceeded, kFailed };
  struct Entry {
    State state = State::kOpen;
    std::string text;
  };

  std::map<std::string, Entry> entries_;
  const Options options_;
  size_t succeeded_ = 0;
  size_t failed_ = 0;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_RESULTS_H_
