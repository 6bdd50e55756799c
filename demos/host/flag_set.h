#ifndef KO_DEMOS_HOST_FLAG_SET_H_
#define KO_DEMOS_HOST_FLAG_SET_H_

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/flags/marshalling.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace ko::demos {

// The flags of one demo, as data of that demo's: many demos live in one program and may name their flags alike, which
// the process-wide flags of Abseil do not allow. Values are parsed and printed by Abseil's own functions for the type.
class FlagSet {
 public:
  // Binds --name to `*value`, whose present value is the default and which must outlive this.
  template <class T>
  void Add(std::string_view name, T* value, std::string_view help) {
    flags_.push_back({std::string(name), std::string(help), absl::UnparseFlag<T>(*value),
                      std::is_same_v<T, bool>, [value](const std::string& text, std::string* error) {
                        T parsed = *value;  // a text that is no value leaves the flag as it was
                        if (!absl::ParseFlag<T>(text, &parsed, error)) return false;
                        *value = std::move(parsed);
                        return true;
                      }});
  }

  // "--name=value", "--name value", and "--name", "--noname" for booleans. InvalidArgument, naming the argument, for
  // anything else.
  absl::Status Parse(absl::Span<const std::string> args);

  // A line or more for each flag, with its default.
  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    std::string help;
    std::string default_text;
    bool is_boolean;
    absl::AnyInvocable<bool(const std::string& text, std::string* error)> parse;
  };

  Flag* Find(std::string_view name);
  absl::Status Unknown(std::string_view argument) const;

  std::vector<Flag> flags_;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_HOST_FLAG_SET_H_
