// A demo from outside the host: a shared library, run by
//   bazelw run //demos -- run greeting --plugin=bazel-bin/demos/greeting/greeting.so
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "demos/host/demo.h"
#include "ko/ko.h"

namespace ko::demos {

class Greeting : public Demo {
 public:
  std::string_view name() const override { return "greeting"; }
  std::string_view summary() const override { return "A demo that the host loads from a shared library"; }
  void AddFlags(FlagSet& flags) override { flags.Add("whom", &whom_, "who is greeted"); }

  int Run() override {
    ko::ProcessManager manager;
    absl::StatusOr<ko::ExitStatus> status =
        manager.Fork([this] { absl::PrintF("Good morning, %s, from a plugin's process\n", whom_); }).Wait();
    return status.ok() && status->ok() ? 0 : 1;
  }

 private:
  std::string whom_ = "world";
};

}  // namespace ko::demos

KO_DEMO_PLUGIN(ko::demos::Greeting)
