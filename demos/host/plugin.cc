#include "demos/host/plugin.h"

#include <dlfcn.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ko::demos {

absl::StatusOr<std::unique_ptr<Demo>> LoadPlugin(const std::string& path) {
  // A name without a slash would be looked up among the system's libraries.
  const std::string file = absl::StrContains(path, '/') ? path : absl::StrCat("./", path);
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return absl::NotFoundError(absl::StrCat("--plugin=", path, ": ", ::dlerror()));

  const auto version = reinterpret_cast<int (*)()>(::dlsym(library, "KoDemoPluginVersion"));
  const auto create = reinterpret_cast<Demo* (*)()>(::dlsym(library, "KoDemoPluginCreate"));
  if (version == nullptr || create == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("--plugin=", path, ": it is no demo, as it does not end with KO_DEMO_PLUGIN(...)"));
  }
  if (version() != kDemoPluginVersion) {
    return absl::FailedPreconditionError(absl::StrCat("--plugin=", path, ": it was built for version ",
                                                      version(), " of the host, which is version ",
                                                      kDemoPluginVersion));
  }
  return std::unique_ptr<Demo>(create());
}

}  // namespace ko::demos
