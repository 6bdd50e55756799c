#include "ko/testing/code_location.h"

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "absl/debugging/symbolize.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace ko::testing {
namespace {

std::string PathOfThisProgram() {
  std::array<char, 4096> path = {};
  const ssize_t bytes = ::readlink("/proc/self/exe", path.data(), path.size());
  return bytes > 0 ? std::string(path.data(), bytes) : "";
}

// "file.cc:12", with the calls it was inlined into; empty where nothing is known.
std::string LineOf(const std::string& object, uint64_t address) {
  const std::string quoted = absl::StrReplaceAll(object, {{"'", "'\\''"}});
  std::FILE* const lines =
      ::popen(absl::StrFormat("addr2line -i -s -e '%s' 0x%x 2>/dev/null", quoted, address).c_str(), "re");
  if (lines == nullptr) return "";
  std::string text;
  std::array<char, 512> line;
  while (std::fgets(line.data(), line.size(), lines) != nullptr) {
    absl::StrAppend(&text, text.empty() ? "" : " <- ",
                    absl::StripSuffix(std::string_view(line.data()), "\n"));
  }
  ::pclose(lines);
  return absl::StartsWith(text, "?") ? "" : text;
}

}  // namespace

std::string SymbolAt(uint64_t address) {
  std::array<char, 1024> name;
  if (absl::Symbolize(reinterpret_cast<const void*>(address), name.data(), name.size())) return name.data();
  return "?";
}

std::string DescribeCode(uint64_t address) {
  std::string text = SymbolAt(address);
  Dl_info object;
  link_map* map = nullptr;
  if (::dladdr1(reinterpret_cast<const void*>(address), &object, reinterpret_cast<void**>(&map),
                RTLD_DL_LINKMAP) == 0 ||
      map == nullptr) {
    return absl::StrCat(text, " at 0x", absl::Hex(address));
  }
  const std::string path = map->l_name[0] == '\0' ? PathOfThisProgram() : map->l_name;
  const uint64_t offset = address - map->l_addr;
  const std::string line = LineOf(path, offset);
  absl::StrAppend(&text, " at ", path.substr(path.rfind('/') + 1), "+0x", absl::Hex(offset));
  if (!line.empty()) absl::StrAppend(&text, ", ", line);
  return text;
}

}  // namespace ko::testing
