#include "demos/host/host.h"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "demos/host/plugin.h"

namespace ko::demos {
namespace {

constexpr std::string_view kUsage =
    "Usage: bazelw run //demos -- COMMAND [--plugin=PATH.so ...]\n"
    "  list               what demos there are\n"
    "  run NAME [flags]   run one\n"
    "  help NAME          what it does and its flags\n";

class Host {
 public:
  explicit Host(std::vector<std::unique_ptr<Demo>> demos) : demos_(std::move(demos)) {}

  int Run(std::vector<std::string> args) {
    if (absl::Status loaded = LoadPlugins(args); !loaded.ok()) return Complain(loaded.message());
    if (args.empty()) return Complain(kUsage);
    const std::string command = args[0];
    args.erase(args.begin());
    if (command == "list" && args.empty()) return List();
    if (command == "help" || command == "--help") return args.empty() ? PrintUsage() : Help(args[0]);
    if (command == "run" && !args.empty()) return RunDemo(args[0], {args.begin() + 1, args.end()});
    return Complain(kUsage);
  }

 private:
  static int Complain(std::string_view text) {
    absl::FPrintF(stderr, "%s%s", text, text.ends_with('\n') ? "" : "\n");
    return kExitUsage;
  }

  // Takes --plugin=... out of the arguments.
  absl::Status LoadPlugins(std::vector<std::string>& args) {
    std::vector<std::string> others;
    for (std::string& arg : args) {
      std::string_view path = arg;
      if (!absl::ConsumePrefix(&path, "--plugin=")) {
        others.push_back(std::move(arg));
        continue;
      }
      absl::StatusOr<std::unique_ptr<Demo>> demo = LoadPlugin(std::string(path));
      if (!demo.ok()) return demo.status();
      if (Find((*demo)->name()) != nullptr) {
        return absl::AlreadyExistsError(
            absl::StrCat("--plugin=", path, ": there is a demo '", (*demo)->name(), "' already"));
      }
      demos_.push_back(*std::move(demo));
    }
    args = std::move(others);
    return absl::OkStatus();
  }

  Demo* Find(std::string_view name) const {
    const auto found =
        std::find_if(demos_.begin(), demos_.end(), [&](const auto& demo) { return demo->name() == name; });
    return found == demos_.end() ? nullptr : found->get();
  }

  int NoSuchDemo(std::string_view name) const {
    const auto append_name = [](std::string* out, const auto& demo) { absl::StrAppend(out, demo->name()); };
    return Complain(
        absl::StrCat("There is no demo '", name, "'. There are: ", absl::StrJoin(demos_, ", ", append_name)));
  }

  int PrintUsage() const {
    absl::PrintF("%s\n", kUsage);
    return List();
  }

  int List() const {
    for (const auto& demo : demos_) absl::PrintF("%-12s %s\n", demo->name(), demo->summary());
    return 0;
  }

  int Help(std::string_view name) const {
    Demo* demo = Find(name);
    if (demo == nullptr) return NoSuchDemo(name);
    FlagSet flags;
    demo->AddFlags(flags);
    absl::PrintF("%s: %s\n%s", demo->name(), demo->summary(), flags.Help());
    return 0;
  }

  int RunDemo(std::string_view name, const std::vector<std::string>& args) const {
    Demo* demo = Find(name);
    if (demo == nullptr) return NoSuchDemo(name);
    if (std::find(args.begin(), args.end(), "--help") != args.end()) return Help(name);
    FlagSet flags;
    demo->AddFlags(flags);
    if (absl::Status parsed = flags.Parse(args); !parsed.ok()) {
      return Complain(absl::StrCat(demo->name(), ": ", parsed.message()));
    }
    return demo->Run();
  }

  std::vector<std::unique_ptr<Demo>> demos_;
};

}  // namespace

int RunHost(std::vector<std::unique_ptr<Demo>> demos, std::vector<std::string> args) {
  return Host(std::move(demos)).Run(std::move(args));
}

}  // namespace ko::demos
