#include "ko/proctitle/process_title.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>

#include "absl/strings/str_cat.h"
#include "ko/os/argument_area.h"
#include "ko/os/errno_status.h"
#include "ko/os/fork_handlers.h"

namespace ko {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kNameBytes = 15;  // the kernel's limit for comm

// The argument area, once it is ours.
//
// A text that fits into a page and holds no 0 is shown "loosely": the area is the whole page, its last byte is not 0, and
// the kernel shows the text up to its 0. Then another text of that kind is only written. Any other text is shown
// "exactly": the area ends with the text's 0.
class TitleArea {
 public:
  // `is_command_line`: the text is the original one, its arguments separated by 0s.
  absl::Status Show(std::string_view text, std::string_view name, bool is_command_line);
  const std::string& text() const { return text_; }
  bool is_ours() const { return start_ != nullptr; }
  bool shows_command_line() const { return shows_command_line_; }

 private:
  static bool IsLoose(std::string_view text) {
    return text.size() <= kPageBytes - 2 && text.find('\0') == std::string_view::npos;
  }
  absl::Status Remap(std::string_view text, bool loose);
  void Write(std::string_view text, bool loose);

  char* start_ = nullptr;
  size_t bytes_ = 0;
  bool loose_ = false;
  bool shows_command_line_ = true;
  std::string text_;
  std::optional<std::string> name_;  // none before the first title
};

absl::Status TitleArea::Show(std::string_view text, std::string_view name, bool is_command_line) {
  const bool loose = IsLoose(text);
  if (start_ != nullptr && loose && loose_) {
    Write(text, loose);
  } else if (absl::Status remapped = Remap(text, loose); !remapped.ok()) {
    return remapped;
  }
  text_ = std::string(text);
  shows_command_line_ = is_command_line;
  if (name != name_) {
    name_ = std::string(name);
    os::SetProcessName(*name_);
  }
  return absl::OkStatus();
}

void TitleArea::Write(std::string_view text, bool loose) {
  const size_t old_bytes = loose_ ? text_.size() : 0;
  std::memcpy(start_, text.data(), text.size());
  start_[text.size()] = '\0';
  if (old_bytes > text.size()) std::memset(start_ + text.size(), 0, old_bytes - text.size());
  if (loose) start_[kPageBytes - 1] = 1;
}

// A new mapping is filled before the kernel is told of it, so that nobody reads a half-written one.
absl::Status TitleArea::Remap(std::string_view text, bool loose) {
  const size_t bytes = (text.size() + 1 + kPageBytes - 1) / kPageBytes * kPageBytes;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return os::ErrnoStatus(errno, "mmap", absl::StrCat("title of ", text.size(), " bytes"));

  TitleArea next;
  next.start_ = static_cast<char*>(memory);
  next.bytes_ = bytes;
  next.Write(text, loose);
  next.loose_ = loose;
  char* const end = next.start_ + (loose ? kPageBytes : text.size() + 1);
  if (absl::Status moved = os::MoveArgumentArea(next.start_, end); !moved.ok()) {
    ::munmap(memory, bytes);
    return moved;
  }
  if (start_ != nullptr) ::munmap(start_, bytes_);
  start_ = next.start_;
  bytes_ = next.bytes_;
  loose_ = next.loose_;
  return absl::OkStatus();
}

// The process has one title. Neither is ever destroyed.
constinit std::mutex mutex;
TitleArea& Area() {
  static TitleArea& area = *new TitleArea();
  return area;
}

// Locks; a fork waits until no other thread holds it, so that a child finds it free.
std::unique_lock<std::mutex> Lock() {
  os::KeepLockFromChildren<mutex>();
  return std::unique_lock(mutex);
}

std::string_view NameOf(std::string_view title) {
  const std::string_view name = title.substr(0, kNameBytes);
  return name.substr(0, name.find('\0'));
}

// What is shown now: the title, or the command line as the kernel has it, without its last 0.
std::string CurrentText() {
  if (Area().is_ours()) return Area().text();
  std::string text = os::ReadCommandLine();
  if (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

}  // namespace

absl::Status SetProcessTitle(std::string_view title) {
  const auto lock = Lock();
  return Area().Show(title, NameOf(title), /*is_command_line=*/false);
}

std::string GetProcessTitle() {
  const auto lock = Lock();
  if (!Area().shows_command_line()) return Area().text();
  std::string text = CurrentText();
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

bool IsProcessTitleSupported() {
  const auto lock = Lock();
  return Area().is_ours() || os::ArgumentAreaCanMove();
}

ScopedProcessTitle::ScopedProcessTitle(std::string_view title) {
  const auto lock = Lock();
  previous_text_ = CurrentText();
  previous_name_ = os::ReadProcessName();
  was_command_line_ = Area().shows_command_line();
  Area().Show(title, NameOf(title), /*is_command_line=*/false).IgnoreError();
}

ScopedProcessTitle::~ScopedProcessTitle() {
  const auto lock = Lock();
  if (Area().is_ours()) Area().Show(previous_text_, previous_name_, was_command_line_).IgnoreError();
}

}  // namespace ko
