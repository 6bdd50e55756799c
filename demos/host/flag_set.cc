#include "demos/host/flag_set.h"

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace ko::demos {

FlagSet::Flag* FlagSet::Find(std::string_view name) {
  const auto found =
      std::find_if(flags_.begin(), flags_.end(), [&](const Flag& flag) { return flag.name == name; });
  return found == flags_.end() ? nullptr : &*found;
}

absl::Status FlagSet::Unknown(std::string_view argument) const {
  // What follows may be a password.
  if (const size_t url = argument.find("://"); url != argument.npos) argument = argument.substr(0, url + 3);
  if (flags_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("unknown argument '", argument, "': there are no flags"));
  }
  const auto name = [](std::string* out, const Flag& flag) { absl::StrAppend(out, "--", flag.name); };
  return absl::InvalidArgumentError(
      absl::StrCat("unknown argument '", argument, "': there are ", absl::StrJoin(flags_, ", ", name)));
}

absl::Status FlagSet::Parse(absl::Span<const std::string> args) {
  for (size_t i = 0; i < args.size(); ++i) {
    std::string_view rest = args[i];
    if (!absl::ConsumePrefix(&rest, "--")) return Unknown(args[i]);
    const size_t equals = rest.find('=');
    const std::string_view name = rest.substr(0, equals);
    std::optional<std::string> value;
    if (equals != std::string_view::npos) value = std::string(rest.substr(equals + 1));

    Flag* flag = Find(name);
    if (flag == nullptr && !value.has_value() && absl::StartsWith(name, "no")) {
      flag = Find(name.substr(2));
      if (flag != nullptr && flag->is_boolean)
        value = "false";
      else
        flag = nullptr;
    }
    if (flag == nullptr) return Unknown(args[i]);
    if (!value.has_value() && flag->is_boolean) value = "true";
    if (!value.has_value()) {
      if (i + 1 == args.size())
        return absl::InvalidArgumentError(absl::StrCat("--", flag->name, " needs a value"));
      value = args[++i];
    }
    std::string error;
    if (!flag->parse(*value, &error)) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag->name, "=", *value, " is not a value for it",
                                                     error.empty() ? "" : ": ", error));
    }
  }
  return absl::OkStatus();
}

std::string FlagSet::Help() const {
  std::string text;
  for (const Flag& flag : flags_) {
    absl::StrAppend(&text, "  --", flag.name,
                    "  (default: ", flag.default_text.empty() ? "none" : flag.default_text, ")\n      ",
                    flag.help, "\n");
  }
  return text;
}

}  // namespace ko::demos
