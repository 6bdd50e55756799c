#include "ko/benchmarks/reporting/json.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/charconv.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ko::benchmarks {
namespace {

constexpr int kMaxDepth = 64;

class Parser {
 public:
  explicit Parser(std::string_view text) : all_(text), rest_(text) {}

  absl::StatusOr<Json> ParseWhole() {
    absl::StatusOr<Json> value = ParseValue(0);
    if (!value.ok()) return value;
    SkipSpace();
    if (!rest_.empty()) return Error("something follows the end");
    return value;
  }

 private:
  absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("JSON, byte ", all_.size() - rest_.size(), ": ", what));
  }
  void SkipSpace() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  bool Consume(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  absl::StatusOr<Json> ParseValue(int depth) {
    SkipSpace();
    if (depth > kMaxDepth) return Error("too deep");
    if (rest_.starts_with('{')) return ParseObject(depth);
    if (rest_.starts_with('[')) return ParseArray(depth);
    if (rest_.starts_with('"')) {
      absl::StatusOr<std::string> text = ParseString();
      if (!text.ok()) return text.status();
      return Json(*std::move(text));
    }
    if (Consume("true")) return Json(true);
    if (Consume("false")) return Json(false);
    if (Consume("null")) return Json();
    // Google Benchmark writes these where a figure is none.
    if (Consume("NaN")) return Json(std::nan(""));
    if (Consume("Infinity")) return Json(HUGE_VAL);
    if (Consume("-Infinity")) return Json(-HUGE_VAL);
    double number;
    const absl::from_chars_result parsed =
        absl::from_chars(rest_.data(), rest_.data() + rest_.size(), number);
    if (parsed.ec != std::errc()) return Error("no value");
    rest_.remove_prefix(parsed.ptr - rest_.data());
    return Json(number);
  }

  absl::StatusOr<std::string> ParseString() {
    if (!Consume("\"")) return Error("no string");
    size_t end = 0;
    for (; end < rest_.size() && rest_[end] != '"'; ++end) {
      if (rest_[end] == '\\') ++end;
    }
    if (end >= rest_.size()) return Error("a string without an end");
    std::string text;
    for (size_t i = 0; i < end; ++i) {
      if (rest_[i] != '\\') {
        text += rest_[i];
        continue;
      }
      switch (const char escaped = rest_[++i]) {
        case 'n':
          text += '\n';
          break;
        case 't':
          text += '\t';
          break;
        case 'r':
          text += '\r';
          break;
        case 'b':
          text += '\b';
          break;
        case 'f':
          text += '\f';
          break;
        case 'u':
          text += "\\u";
          break;
        default:
          text += escaped;
      }
    }
    rest_.remove_prefix(end + 1);
    return text;
  }

  absl::StatusOr<Json> ParseArray(int depth) {
    Consume("[");
    Json::Array items;
    SkipSpace();
    if (Consume("]")) return Json(std::move(items));
    while (true) {
      absl::StatusOr<Json> item = ParseValue(depth + 1);
      if (!item.ok()) return item;
      items.push_back(*std::move(item));
      SkipSpace();
      if (Consume("]")) return Json(std::move(items));
      if (!Consume(",")) return Error("neither , nor ]");
    }
  }

  absl::StatusOr<Json> ParseObject(int depth) {
    Consume("{");
    Json::Object members;
    SkipSpace();
    if (Consume("}")) return Json(std::move(members));
    while (true) {
      SkipSpace();
      absl::StatusOr<std::string> name = ParseString();
      if (!name.ok()) return name.status();
      SkipSpace();
      if (!Consume(":")) return Error("no : behind a name");
      absl::StatusOr<Json> value = ParseValue(depth + 1);
      if (!value.ok()) return value;
      members.emplace_back(*std::move(name), *std::move(value));
      SkipSpace();
      if (Consume("}")) return Json(std::move(members));
      if (!Consume(",")) return Error("neither , nor }");
    }
  }

  const std::string_view all_;
  std::string_view rest_;
};

void AppendString(std::string& text, std::string_view value) {
  text += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&text, "\\u%04x", static_cast<int>(c));
    } else {
      text += c;
    }
  }
  text += '"';
}

}  // namespace

absl::StatusOr<Json> Json::Parse(std::string_view text) { return Parser(text).ParseWhole(); }

std::string Json::ToString() const {
  std::string text;
  Append(text, 0);
  return text;
}

void Json::Append(std::string& text, size_t indent) const {
  const auto list = [&](const auto& parts, const char* brackets, auto append) {
    text += brackets[0];
    bool first = true;
    for (const auto& part : parts) {
      absl::StrAppend(&text, first ? "\n" : ",\n", std::string(indent + 2, ' '));
      append(part);
      first = false;
    }
    if (!first) absl::StrAppend(&text, "\n", std::string(indent, ' '));
    text += brackets[1];
  };
  if (const auto* array = std::get_if<Array>(&value_)) {
    list(*array, "[]", [&](const Json& item) { item.Append(text, indent + 2); });
  } else if (const auto* object = std::get_if<Object>(&value_)) {
    list(*object, "{}", [&](const Member& member) {
      AppendString(text, member.first);
      text += ": ";
      member.second.Append(text, indent + 2);
    });
  } else if (const auto* string = std::get_if<std::string>(&value_)) {
    AppendString(text, *string);
  } else if (const auto* number = std::get_if<double>(&value_)) {
    if (std::isfinite(*number)) {
      absl::StrAppendFormat(&text, "%.17g", *number);
    } else {
      text += "null";
    }
  } else if (const auto* boolean = std::get_if<bool>(&value_)) {
    text += *boolean ? "true" : "false";
  } else {
    text += "null";
  }
}

const Json::Array& Json::items() const {
  static const Array* const none = new Array();
  const auto* const array = std::get_if<Array>(&value_);
  return array != nullptr ? *array : *none;
}

const Json::Object& Json::members() const {
  static const Object* const none = new Object();
  const auto* const object = std::get_if<Object>(&value_);
  return object != nullptr ? *object : *none;
}

std::string_view Json::text() const {
  const auto* const string = std::get_if<std::string>(&value_);
  return string != nullptr ? std::string_view(*string) : std::string_view();
}

double Json::number() const {
  const auto* const number = std::get_if<double>(&value_);
  return number != nullptr ? *number : 0;
}

const Json& Json::operator[](std::string_view name) const {
  static const Json* const null = new Json();
  for (const Member& member : members()) {
    if (member.first == name) return member.second;
  }
  return *null;
}

}  // namespace ko::benchmarks
