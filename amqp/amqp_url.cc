#include "ko/amqp/amqp_url.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ko {
namespace {

constexpr size_t kMaxNameBytes = 255;  // AMQP's short strings

absl::Status Bad(std::string_view part, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("AMQP URL: ", part, ": ", why));
}

// Nothing for a percent sign without two hexadecimal digits, and for a zero byte, which C strings cannot hold.
std::optional<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\0') return std::nullopt;
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    std::string byte;
    // Abseil reads beyond its table for bytes above 127, so digits are looked for first.
    const std::string_view digits = text.substr(i + 1, 2);
    if (!std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit)) return std::nullopt;
    if (!absl::HexStringToBytes(digits, &byte) || byte[0] == '\0') return std::nullopt;
    decoded += byte;
    i += 2;
  }
  return decoded;
}

// Decodes into `*to`. The text stands in the error only where `secret` is false.
absl::Status Decode(std::string_view part, std::string_view text, bool secret, std::string* to) {
  std::optional<std::string> decoded = PercentDecode(text);
  if (!decoded.has_value()) {
    return Bad(part, absl::StrCat(secret ? "it has" : absl::CHexEscape(text), secret ? "" : " has",
                                  " a % without two hexadecimal digits after it, or a zero byte"));
  }
  *to = *std::move(decoded);
  return absl::OkStatus();
}

absl::Status ParseNumber(std::string_view part, std::string_view text, int least, int most, int* to) {
  int number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < least || number > most) {
    return Bad(part, absl::StrCat("'", absl::CHexEscape(text), "' is no number from ", least, " to ", most));
  }
  *to = number;
  return absl::OkStatus();
}

absl::Status ParseSeconds(std::string_view part, std::string_view text, int least, int most,
                          absl::Duration* to) {
  int seconds = 0;
  if (absl::Status status = ParseNumber(part, text, least, most, &seconds); !status.ok()) return status;
  *to = absl::Seconds(seconds);
  return absl::OkStatus();
}

// "user:password", either part of which may be missing.
absl::Status ParseUser(std::string_view text, AmqpUrl& url) {
  const size_t colon = text.find(':');
  if (absl::Status status = Decode("user", text.substr(0, colon), /*secret=*/true, &url.user); !status.ok()) {
    return status;
  }
  if (colon == text.npos) return absl::OkStatus();
  return Decode("password", text.substr(colon + 1), /*secret=*/true, &url.password);
}

// "host", "host:port", "[::1]" or "[::1]:port".
absl::Status ParseAddress(std::string_view text, AmqpUrl& url) {
  std::string_view port;
  if (absl::StartsWith(text, "[")) {
    const size_t end = text.find(']');
    if (end == text.npos) return Bad("host", "there is no ] after the [");
    url.host = std::string(text.substr(1, end - 1));
    port = text.substr(end + 1);
    if (!port.empty() && !absl::ConsumePrefix(&port, ":"))
      return Bad("host", "there is something after the ]");
    if (port.empty() && text.back() == ':') return Bad("port", "it is empty");
    if (url.host.find_first_not_of("0123456789abcdefABCDEF:.%") != std::string::npos ||
        !absl::StrContains(url.host, ":")) {
      return Bad("host", absl::StrCat("'", absl::CHexEscape(url.host), "' is no IPv6 address"));
    }
  } else {
    const size_t colon = text.find(':');
    if (absl::Status status = Decode("host", text.substr(0, colon), /*secret=*/false, &url.host);
        !status.ok()) {
      return status;
    }
    if (colon != text.npos) {
      port = text.substr(colon + 1);
      if (port.empty()) return Bad("port", "it is empty");
    }
  }
  if (url.host.empty()) return Bad("host", "it is missing");
  if (port.empty()) return absl::OkStatus();
  return ParseNumber("port", port, 1, 65535, &url.port);
}

absl::Status ParseParameter(std::string_view name, const std::string& value, AmqpUrl& url) {
  if (name == "queue") {
    if (value.empty() || value.size() > kMaxNameBytes) {
      return Bad("queue", absl::StrCat("its name has ", value.size(), " bytes; 1 to ", kMaxNameBytes,
                                       " are possible"));
    }
    url.queue = value;
    return absl::OkStatus();
  }
  if (name == "durable") {
    if (value != "true" && value != "false") {
      return Bad(name, absl::StrCat("'", absl::CHexEscape(value), "' is neither true nor false"));
    }
    url.durable = value == "true";
    return absl::OkStatus();
  }
  if (name == "type") {
    if (value != "classic" && value != "quorum") {
      return Bad(name, absl::StrCat("'", absl::CHexEscape(value), "' is neither classic nor quorum"));
    }
    url.quorum = value == "quorum";
    return absl::OkStatus();
  }
  if (name == "prefetch") return ParseNumber(name, value, 1, 65535, &url.prefetch);
  if (name == "heartbeat") return ParseSeconds(name, value, 0, 65535, &url.heartbeat);
  if (name == "timeout") return ParseSeconds(name, value, 1, 86400, &url.timeout);
  std::string* file = name == "cacertfile" ? &url.ca_file
                      : name == "certfile" ? &url.certificate_file
                      : name == "keyfile"  ? &url.key_file
                                           : nullptr;
  if (file == nullptr) return Bad(absl::CHexEscape(name), "there is no such parameter");
  if (!url.tls) return Bad(name, "it is for amqps");
  if (value.empty()) return Bad(name, "it is empty");
  *file = value;
  return absl::OkStatus();
}

absl::Status ParseParameters(std::string_view text, AmqpUrl& url) {
  std::set<std::string_view> seen;
  for (std::string_view each : absl::StrSplit(text, '&', absl::SkipEmpty())) {
    const std::pair<std::string_view, std::string_view> parameter =
        absl::StrSplit(each, absl::MaxSplits('=', 1));
    if (!seen.insert(parameter.first).second) {
      return Bad(absl::CHexEscape(parameter.first), "it stands there twice");
    }
    std::string value;
    if (absl::Status status =
            Decode(absl::CHexEscape(parameter.first), parameter.second, /*secret=*/false, &value);
        !status.ok()) {
      return status;
    }
    if (absl::Status status = ParseParameter(parameter.first, value, url); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AmqpUrl> AmqpUrl::Parse(std::string_view text) {
  AmqpUrl url;
  if (absl::ConsumePrefix(&text, "amqps://")) {
    url.tls = true;
    url.port = 5671;
  } else if (!absl::ConsumePrefix(&text, "amqp://")) {
    return Bad("scheme", "it starts with neither amqp:// nor amqps://");
  }
  if (absl::StrContains(text, '#')) return Bad("fragment", "there is none; a # is written %23");
  const size_t question = text.find('?');
  const std::string_view parameters = question == text.npos ? "" : text.substr(question + 1);
  text = text.substr(0, question);

  const size_t slash = text.find('/');
  // What follows could be the rest of a password with a slash in it, and what precedes its beginning: neither is shown.
  if (slash != text.npos && absl::StrContains(text.substr(slash), '@')) {
    return Bad("vhost", "it has an @; in a password / and @ are written %2f and %40");
  }
  std::string_view address = text.substr(0, slash);
  // The last @ ends the user: one that was not escaped is the password's.
  if (const size_t at = address.rfind('@'); at != address.npos) {
    if (absl::Status status = ParseUser(address.substr(0, at), url); !status.ok()) return status;
    address = address.substr(at + 1);
  }
  if (absl::Status status = ParseAddress(address, url); !status.ok()) return status;
  if (slash != text.npos && slash + 1 < text.size()) {
    const std::string_view vhost = text.substr(slash + 1);
    if (absl::Status status = Decode("vhost", vhost, /*secret=*/false, &url.vhost); !status.ok())
      return status;
    if (url.vhost.size() > kMaxNameBytes) return Bad("vhost", "it is longer than 255 bytes");
  }
  if (absl::Status status = ParseParameters(parameters, url); !status.ok()) return status;
  if (url.queue.empty()) return Bad("queue", "it is missing: ?queue=NAME");
  if (url.certificate_file.empty() != url.key_file.empty()) {
    return Bad("certfile", "certfile and keyfile go together");
  }
  if (url.quorum && !url.durable) return Bad("type", "a quorum queue is durable");
  return url;
}

std::string AmqpUrl::Address() const {
  return absl::StrContains(host, ":") ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

std::string AmqpUrl::Redacted() const {
  return absl::StrCat(tls ? "amqps://" : "amqp://", Address(), "/", vhost == "/" ? "" : vhost,
                      "?queue=", queue);
}

}  // namespace ko
