#include "ko/testing/temp_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace ko::testing {

TempDir::TempDir() : path_(absl::StrCat(::testing::TempDir(), "ko.XXXXXX")), owner_(::getpid()) {
  if (::mkdtemp(path_.data()) == nullptr) {
    std::perror("TempDir: mkdtemp");
    std::abort();
  }
}

TempDir::~TempDir() {
  if (owner_ != ::getpid()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::File(std::string_view name) const { return absl::StrCat(path_, "/", name); }

std::string TempDir::Write(std::string_view name, std::string_view text, mode_t mode) const {
  const std::string path = File(name);
  std::ofstream(path, std::ios::binary) << text;
  ::chmod(path.c_str(), mode);
  return path;
}

}  // namespace ko::testing
