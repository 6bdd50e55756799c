#ifndef KO_DEMOS_SEMAPHORE_SEMAPHORE_H_
#define KO_DEMOS_SEMAPHORE_SEMAPHORE_H_

#include <string_view>

#include "demos/host/demo.h"

namespace ko::demos {

class SemaphoreDemo : public Demo {
 public:
  std::string_view name() const override { return "semaphore"; }
  std::string_view summary() const override {
    return "Processes take turns; one is killed with its permit, and the others go on";
  }
  int Run() override;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_SEMAPHORE_SEMAPHORE_H_
