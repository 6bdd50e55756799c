#ifndef KO_DEMOS_HELLO_HELLO_H_
#define KO_DEMOS_HELLO_HELLO_H_

#include <string_view>

#include "demos/host/demo.h"

namespace ko::demos {

class Hello : public Demo {
 public:
  std::string_view name() const override { return "hello"; }
  std::string_view summary() const override {
    return "Fork a process that prints its pid, with a success handler, and wait for it";
  }
  int Run() override;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_HELLO_HELLO_H_
