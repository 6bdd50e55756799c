#include "ko/os/loaded_code.h"

#include <link.h>

#include <algorithm>

#include "absl/functional/function_ref.h"

namespace ko::os {
namespace {

// `visit` returns whether to go on.
void ForEachObject(absl::FunctionRef<bool(const dl_phdr_info&)> visit) {
  const auto call = [](dl_phdr_info* info, size_t, void* data) {
    return (*static_cast<absl::FunctionRef<bool(const dl_phdr_info&)>*>(data))(*info) ? 0 : 1;
  };
  ::dl_iterate_phdr(call, &visit);
}

uint64_t CountUnloads() {
  uint64_t unloads = 0;
  ForEachObject([&unloads](const dl_phdr_info& info) {
    unloads = info.dlpi_subs;
    return false;
  });
  return unloads;
}

}  // namespace

LoadedCode LoadedCode::Now() {
  LoadedCode code;
  bool is_program = true;  // the first one is
  ForEachObject([&](const dl_phdr_info& info) {
    for (int i = 0; i < info.dlpi_phnum; ++i) {
      const auto& segment = info.dlpi_phdr[i];
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
      const uintptr_t begin = info.dlpi_addr + segment.p_vaddr;
      (is_program ? code.program_ : code.libraries_).push_back({begin, begin + segment.p_memsz});
    }
    is_program = false;
    code.unloads_ = info.dlpi_subs;
    return true;
  });
  return code;
}

bool LoadedCode::Has(const void* function) const {
  const auto address = reinterpret_cast<uintptr_t>(function);
  const auto has_it = [address](const Range& range) { return address >= range.begin && address < range.end; };
  if (std::any_of(program_.begin(), program_.end(), has_it)) return true;
  return std::any_of(libraries_.begin(), libraries_.end(), has_it) && CountUnloads() == unloads_;
}

}  // namespace ko::os
