#ifndef KO_DEMOS_WORKERS_WORKERS_H_
#define KO_DEMOS_WORKERS_WORKERS_H_

#include <string>
#include <string_view>

#include "demos/host/demo.h"
#include "demos/workers/settings.h"

namespace ko::demos {

// The main job: a supervised pool of workers that take jobs from a queue and run each in a process of its own.
class Workers : public Demo {
 public:
  Workers();

  std::string_view name() const override { return "workers"; }
  std::string_view summary() const override {
    return "A supervised pool of workers that chews through every file under a folder";
  }
  void AddFlags(FlagSet& flags) override;
  int Run() override;

 private:
  WorkersFlags flags_;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_WORKERS_H_
