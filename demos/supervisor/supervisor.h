#ifndef KO_DEMOS_SUPERVISOR_SUPERVISOR_H_
#define KO_DEMOS_SUPERVISOR_SUPERVISOR_H_

#include <string_view>

#include "absl/time/time.h"
#include "demos/host/demo.h"

namespace ko::demos {

class SupervisorDemo : public Demo {
 public:
  std::string_view name() const override { return "supervisor"; }
  std::string_view summary() const override {
    return "A tree of groups whose members crash, told as a timeline";
  }
  void AddFlags(FlagSet& flags) override;
  int Run() override;

 private:
  absl::Duration life_ = absl::Milliseconds(900);
  absl::Duration run_for_ = absl::Seconds(4);
};

}  // namespace ko::demos

#endif  // KO_DEMOS_SUPERVISOR_SUPERVISOR_H_
