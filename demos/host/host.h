#ifndef KO_DEMOS_HOST_HOST_H_
#define KO_DEMOS_HOST_HOST_H_

#include <memory>
#include <string>
#include <vector>

#include "demos/host/demo.h"

namespace ko::demos {

// What exit codes of the host's own mean; a demo's are its own.
inline constexpr int kExitUsage = 2;

// The command line: "list", "run NAME [flags]", "help [NAME]", each with any number of --plugin=PATH.so before or behind.
// Prints, runs, and gives back the exit code. `args` are without the program's name.
int RunHost(std::vector<std::unique_ptr<Demo>> demos, std::vector<std::string> args);

}  // namespace ko::demos

#endif  // KO_DEMOS_HOST_HOST_H_
