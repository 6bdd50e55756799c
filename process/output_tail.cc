#include "ko/process/output_tail.h"

#include <algorithm>

namespace ko {

void OutputTail::Append(std::string_view output) {
  total_bytes_ += output.size();
  if (output.size() >= capacity_bytes_) {
    ring_ = output.substr(output.size() - capacity_bytes_);
    begin_ = 0;
    return;
  }
  const size_t grown = std::min(output.size(), capacity_bytes_ - ring_.size());
  ring_.append(output.substr(0, grown));
  output.remove_prefix(grown);
  while (!output.empty()) {
    const size_t count = std::min(output.size(), ring_.size() - begin_);
    std::copy_n(output.begin(), count, ring_.begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = (begin_ + count) % ring_.size();
    output.remove_prefix(count);
  }
}

void OutputTail::Clear() {
  ring_.clear();
  begin_ = 0;
  total_bytes_ = 0;
}

std::string OutputTail::Text() const { return ring_.substr(begin_) + ring_.substr(0, begin_); }

std::vector<std::string> OutputTail::LastLines(size_t count) const {
  const std::string text = Text();
  std::string_view rest = text;
  if (!rest.empty() && rest.back() == '\n') rest.remove_suffix(1);
  std::vector<std::string> lines;
  while (lines.size() < count && !text.empty()) {
    const size_t newline = rest.rfind('\n');
    lines.emplace_back(rest.substr(newline + 1));  // npos + 1 is 0
    if (newline == std::string_view::npos) break;
    rest = rest.substr(0, newline);
  }
  std::reverse(lines.begin(), lines.end());
  return lines;
}

}  // namespace ko
