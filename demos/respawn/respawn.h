#ifndef KO_DEMOS_RESPAWN_RESPAWN_H_
#define KO_DEMOS_RESPAWN_RESPAWN_H_

#include <string_view>

#include "absl/time/time.h"
#include "demos/host/demo.h"

namespace ko::demos {

class Respawn : public Demo {
 public:
  std::string_view name() const override { return "respawn"; }
  std::string_view summary() const override {
    return "Ten processes that fail after a second and are kept alive";
  }
  void AddFlags(FlagSet& flags) override;
  int Run() override;

 private:
  absl::Duration life_ = absl::Seconds(1);
  absl::Duration run_for_ = absl::Seconds(5);
};

}  // namespace ko::demos

#endif  // KO_DEMOS_RESPAWN_RESPAWN_H_
