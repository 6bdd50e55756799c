#ifndef KO_DEMOS_FORK_SERVER_FORK_SERVER_H_
#define KO_DEMOS_FORK_SERVER_FORK_SERVER_H_

#include <string_view>

#include "demos/host/demo.h"

namespace ko::demos {

class ForkServerDemo : public Demo {
 public:
  std::string_view name() const override { return "fork_server"; }
  std::string_view summary() const override {
    return "Workers of a program with much memory: forked from itself, and from a fork server";
  }
  void AddFlags(FlagSet& flags) override;
  int Run() override;

 private:
  int memory_mb_ = 1024;
  int workers_ = 1000;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_FORK_SERVER_FORK_SERVER_H_
