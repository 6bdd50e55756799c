#include "demos/workers/messages.h"

namespace ko::demos {
namespace {

constexpr size_t kHeaderBytes = 8;

void PutNumber(std::string& bytes, uint32_t number) {
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(number >> shift));
}

uint32_t GetNumber(std::string_view bytes) {
  uint32_t number = 0;
  for (int i = 3; i >= 0; --i) number = number << 8 | static_cast<unsigned char>(bytes[i]);
  return number;
}

std::string Encode(uint32_t first, uint32_t second, std::string_view text) {
  std::string bytes;
  bytes.reserve(kHeaderBytes + text.size());
  PutNumber(bytes, first);
  PutNumber(bytes, second);
  bytes.append(text);
  return bytes;
}

}  // namespace

std::string JobMessage::Encode() const { return demos::Encode(id, failures, path); }

std::optional<JobMessage> JobMessage::Decode(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes) return std::nullopt;
  return JobMessage{GetNumber(bytes), GetNumber(bytes.substr(4)), std::string(bytes.substr(kHeaderBytes))};
}

std::string ResultMessage::Encode() const {
  return demos::Encode(static_cast<uint32_t>(path.size()), ok ? 1 : 0, path + text);
}

std::optional<ResultMessage> ResultMessage::Decode(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes) return std::nullopt;
  const uint32_t path_bytes = GetNumber(bytes);
  const bool ok = GetNumber(bytes.substr(4)) != 0;
  bytes.remove_prefix(kHeaderBytes);
  if (bytes.size() < path_bytes) return std::nullopt;
  return ResultMessage{std::string(bytes.substr(0, path_bytes)), ok, std::string(bytes.substr(path_bytes))};
}

}  // namespace ko::demos
