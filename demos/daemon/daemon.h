#ifndef KO_DEMOS_DAEMON_DAEMON_H_
#define KO_DEMOS_DAEMON_DAEMON_H_

#include <string>
#include <string_view>

#include "demos/host/demo.h"

namespace ko::demos {

class Daemon : public Demo {
 public:
  std::string_view name() const override { return "daemon"; }
  std::string_view summary() const override {
    return "A master in the background with a title, ended by kill PID";
  }
  void AddFlags(FlagSet& flags) override;
  int Run() override;

 private:
  std::string log_file_ = "/dev/null";
  std::string pid_file_;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_DAEMON_DAEMON_H_
