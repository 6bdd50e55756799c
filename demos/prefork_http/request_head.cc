#include "demos/prefork_http/request_head.h"

#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ko::demos {
namespace {

ParsedHead Bad(int status) { return {.status = status}; }

bool IsToken(std::string_view text) {
  for (const char c : text) {
    if (!absl::ascii_isalnum(c) && !absl::StrContains("!#$%&'*+-.^_`|~", c)) return false;
  }
  return !text.empty();
}

// RFC 9110 and 5789 know it: to be refused for a file (405), not as unknown (501).
bool IsKnownMethod(std::string_view method) {
  for (const std::string_view known :
       {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}) {
    if (method == known) return true;
  }
  return false;
}

bool HasControl(std::string_view text) {
  for (const char c : text) {
    if (absl::ascii_iscntrl(c) && c != '\t') return true;
  }
  return false;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = absl::ascii_tolower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;  // the end of a path for the kernel, and not for us
    decoded.push_back(c);
  }
  return decoded;
}

// "/a%20b?query" or "http://host/a%20b" as "a b".
std::optional<std::string> PathOf(std::string_view target) {
  if (absl::StartsWithIgnoreCase(target, "http://")) {
    target.remove_prefix(std::string_view("http://").size());
    const size_t slash = target.find('/');
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (!absl::ConsumePrefix(&target, "/")) return std::nullopt;
  std::optional<std::string> path = PercentDecode(target.substr(0, target.find('?')));
  if (!path.has_value()) return std::nullopt;
  for (const std::string_view segment : absl::StrSplit(*path, '/')) {
    if (segment == "..") return std::nullopt;
  }
  return path;
}

}  // namespace

ParsedHead ParseRequestHead(std::string_view input) {
  size_t begin = 0;
  // Some clients send an empty line after a body.
  if (absl::StartsWith(input, "\r\n")) begin = 2;
  const std::string_view text = input.substr(begin);

  const size_t line_end = text.find("\r\n");
  if (line_end == std::string_view::npos && text.size() <= kMaxRequestLineBytes) return {};
  if (line_end == std::string_view::npos || line_end > kMaxRequestLineBytes) return Bad(414);
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos && text.size() <= kMaxHeadBytes) return {};
  if (end == std::string_view::npos || end > kMaxHeadBytes) return Bad(431);

  ParsedHead parsed{.status = ParsedHead::kComplete, .size_bytes = begin + end + 4};
  const std::vector<std::string_view> words = absl::StrSplit(text.substr(0, line_end), ' ');
  if (words.size() != 3 || !IsToken(words[0]) || words[1].empty() || HasControl(words[1])) return Bad(400);
  const bool is_1_1 = words[2] == "HTTP/1.1";
  if (!is_1_1 && words[2] != "HTTP/1.0") return Bad(absl::StartsWith(words[2], "HTTP/") ? 505 : 400);

  parsed.request.keep_alive = is_1_1;
  int hosts = 0;
  bool has_body = false;
  if (end > line_end) {
    for (const std::string_view line :
         absl::StrSplit(text.substr(line_end + 2, end - line_end - 2), "\r\n")) {
      const size_t colon = line.find(':');
      if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) return Bad(400);
      const std::string_view name = line.substr(0, colon);
      const std::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
      if (HasControl(value)) return Bad(400);
      if (absl::EqualsIgnoreCase(name, "host")) ++hosts;
      if (absl::EqualsIgnoreCase(name, "transfer-encoding")) has_body = true;
      if (absl::EqualsIgnoreCase(name, "content-length") && value != "0") has_body = true;
      if (absl::EqualsIgnoreCase(name, "connection")) {
        for (const std::string_view option : absl::StrSplit(value, ',')) {
          const std::string_view word = absl::StripAsciiWhitespace(option);
          if (absl::EqualsIgnoreCase(word, "close")) parsed.request.keep_alive = false;
          if (absl::EqualsIgnoreCase(word, "keep-alive") && !is_1_1) parsed.request.keep_alive = true;
        }
      }
    }
  }
  if (hosts > 1 || (is_1_1 && hosts == 0)) return Bad(400);
  if (!IsKnownMethod(words[0])) return Bad(501);
  if (words[0] != "GET" && words[0] != "HEAD") return Bad(405);
  if (has_body) return Bad(400);
  std::optional<std::string> path = PathOf(words[1]);
  if (!path.has_value()) return Bad(400);
  parsed.request.head_only = words[0] == "HEAD";
  parsed.request.path = *std::move(path);
  return parsed;
}

}  // namespace ko::demos
