#ifndef KO_DEMOS_WAIT_ALL_WAIT_ALL_H_
#define KO_DEMOS_WAIT_ALL_WAIT_ALL_H_

#include <string_view>

#include "demos/host/demo.h"

namespace ko::demos {

class WaitAll : public Demo {
 public:
  std::string_view name() const override { return "wait_all"; }
  std::string_view summary() const override { return "Fork ten processes and wait for all of them"; }
  int Run() override;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WAIT_ALL_WAIT_ALL_H_
