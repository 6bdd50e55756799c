#ifndef KO_DEMOS_HOST_DEMO_H_
#define KO_DEMOS_HOST_DEMO_H_

#include <memory>
#include <string_view>

#include "demos/host/flag_set.h"

namespace ko::demos {

// A demo: what the host lists and runs. It is a plugin: either the host's table (demos/main.cc) names its factory, or it is
// a shared library of its own that ends with KO_DEMO_PLUGIN(TheDemo) and is loaded by --plugin=PATH.so.
//
// Threads, fork: one thread; a demo may fork, and must not return from Run in a child. Signals, crash: its own affair.
class Demo {
 public:
  virtual ~Demo() = default;

  virtual std::string_view name() const = 0;
  virtual std::string_view summary() const = 0;  // one line
  // Registers flags, bound to members of the demo.
  virtual void AddFlags(FlagSet&) {}
  // After the flags are parsed. The exit code.
  virtual int Run() = 0;
};

// Raised when Demo or FlagSet change: a plugin of another version is refused.
inline constexpr int kDemoPluginVersion = 1;

}  // namespace ko::demos

#define KO_DEMO_PLUGIN(DemoClass)                                                  \
  extern "C" int KoDemoPluginVersion() { return ::ko::demos::kDemoPluginVersion; } \
  extern "C" ::ko::demos::Demo* KoDemoPluginCreate() { return new DemoClass(); }

#endif  // KO_DEMOS_HOST_DEMO_H_
