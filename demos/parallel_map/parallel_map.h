#ifndef KO_DEMOS_PARALLEL_MAP_PARALLEL_MAP_H_
#define KO_DEMOS_PARALLEL_MAP_PARALLEL_MAP_H_

#include <string>
#include <string_view>

#include "demos/host/demo.h"

namespace ko::demos {

class ParallelMap : public Demo {
 public:
  std::string_view name() const override { return "parallel_map"; }
  std::string_view summary() const override {
    return "Digest every file under a folder in a ProcessPool; a crash costs one file";
  }
  void AddFlags(FlagSet& flags) override;
  int Run() override;

 private:
  std::string path_ = "/usr/include";
  std::string out_;
  int workers_ = 0;
  int retries_ = 0;
  bool crash_ = false;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_PARALLEL_MAP_PARALLEL_MAP_H_
