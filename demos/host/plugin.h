#ifndef KO_DEMOS_HOST_PLUGIN_H_
#define KO_DEMOS_HOST_PLUGIN_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "demos/host/demo.h"

namespace ko::demos {

// Loads the demo of a shared library, which stays loaded for good. Errors: NotFound where the library cannot be opened,
// FailedPrecondition where it is no demo plugin or one of another version; the loader's own words are in the message.
absl::StatusOr<std::unique_ptr<Demo>> LoadPlugin(const std::string& path);

}  // namespace ko::demos

#endif  // KO_DEMOS_HOST_PLUGIN_H_
