// Setting the title of the process to another one of `bytes` bytes.
//
// argv_overwrite writes over the program's own arguments, as many servers do: no longer than they are. pr_set_name is
// prctl(2)'s, of which the kernel keeps 15 bytes.

#include <sys/prctl.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "benchmark/benchmark.h"
#include "ko/ko.h"

namespace {

// Two titles in turn, so that each is a change.
class Titles {
 public:
  explicit Titles(size_t bytes) : titles_{std::string(bytes, 'a'), std::string(bytes, 'b')} {}
  const std::string& Next() { return titles_[++count_ % 2]; }

 private:
  std::string titles_[2];
  size_t count_ = 0;
};

void Ko(benchmark::State& state) {
  Titles titles(state.range(0));
  for (auto _ : state) {
    if (!ko::SetProcessTitle(titles.Next()).ok()) state.SkipWithError("the title was not set");
  }
}
BENCHMARK(Ko)->Name("SetTitle/ko")->ArgName("bytes")->Arg(15)->Arg(200)->Arg(10'000);

void ArgvOverwrite(benchmark::State& state) {
  Titles titles(state.range(0));
  // The longest that has room. (Its bytes are restored: other benchmarks may read them.)
  char* const arguments = program_invocation_name;
  const std::string before = arguments;
  for (auto _ : state) {
    std::strncpy(arguments, titles.Next().c_str(), before.size());
    benchmark::ClobberMemory();
  }
  std::memcpy(arguments, before.data(), before.size());
}
BENCHMARK(ArgvOverwrite)->Name("SetTitle/argv_overwrite")->ArgName("bytes")->Arg(15);

void PrSetName(benchmark::State& state) {
  Titles titles(state.range(0));
  for (auto _ : state) ::prctl(PR_SET_NAME, titles.Next().c_str());
}
BENCHMARK(PrSetName)->Name("SetTitle/pr_set_name")->ArgName("bytes")->Arg(15);

}  // namespace
