#ifndef KO_DEMOS_SHARED_MEMORY_SHARED_MEMORY_H_
#define KO_DEMOS_SHARED_MEMORY_SHARED_MEMORY_H_

#include <string_view>

#include "demos/host/demo.h"

namespace ko::demos {

class SharedMemoryDemo : public Demo {
 public:
  std::string_view name() const override { return "shared_memory"; }
  std::string_view summary() const override {
    return "Two processes use one map: set, count, look, get, add, erase";
  }
  int Run() override;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_SHARED_MEMORY_SHARED_MEMORY_H_
