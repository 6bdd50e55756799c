#ifndef KO_BENCHMARKS_REPORTING_JSON_H_
#define KO_BENCHMARKS_REPORTING_JSON_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace ko::benchmarks {

// A value of JSON (RFC 8259), as far as Google Benchmark writes it: \u escapes are kept as they are. Objects keep the order
// of their members.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;                                        // null
  Json(bool value) : value_(value) {}                      // NOLINT: a value is a Json
  Json(double value) : value_(value) {}                    // NOLINT
  Json(std::string value) : value_(std::move(value)) {}    // NOLINT
  Json(const char* value) : value_(std::string(value)) {}  // NOLINT
  Json(Array value) : value_(std::move(value)) {}          // NOLINT
  Json(Object value) : value_(std::move(value)) {}         // NOLINT

  // Errors: InvalidArgument, with the place.
  static absl::StatusOr<Json> Parse(std::string_view text);
  // With two spaces for each level.
  std::string ToString() const;

  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_number() const { return std::holds_alternative<double>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  // What another kind of value says: nothing, 0, an empty one.
  const Array& items() const;
  const Object& members() const;
  std::string_view text() const;
  double number() const;
  // The member of that name; null where there is none.
  const Json& operator[](std::string_view name) const;

 private:
  void Append(std::string& text, size_t indent) const;
  std::variant<std::nullptr_t, bool, double, std::string, Array, Object> value_;
};

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_JSON_H_
