#include "ko/os/c_library_fork.h"

#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "absl/base/config.h"
#include "ko/os/loaded_objects.h"
#include "ko/os/register_atfork.h"

namespace ko::os {
namespace {

// What an object's dynamic section says of its symbols.
class DynamicSymbols {
 public:
  explicit DynamicSymbols(const dl_phdr_info& object) : base_(object.dlpi_addr) {
    for (int i = 0; i < object.dlpi_phnum; ++i) {
      if (object.dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
      Read(reinterpret_cast<const ElfW(Dyn)*>(base_ + object.dlpi_phdr[i].p_vaddr));
    }
  }

  bool known() const { return symbols_ != nullptr && names_ != nullptr && has_count_; }

  // Weak imports, like this file's own, are nobody's registrations.
  bool Imports(const char* name) const {
    for (uint32_t i = 1; i < count_; ++i) {
      const ElfW(Sym)& symbol = symbols_[i];
      if (symbol.st_shndx == SHN_UNDEF && ELF64_ST_BIND(symbol.st_info) != STB_WEAK &&
          std::strcmp(names_ + symbol.st_name, name) == 0) {
        return true;
      }
    }
    return false;
  }

 private:
  void Read(const ElfW(Dyn) * entry) {
    const uint32_t* gnu_hash = nullptr;
    const uint32_t* hash = nullptr;
    for (; entry->d_tag != DT_NULL; ++entry) {
      switch (entry->d_tag) {
        case DT_SYMTAB:
          symbols_ = At<ElfW(Sym)>(entry->d_un.d_ptr);
          break;
        case DT_STRTAB:
          names_ = At<char>(entry->d_un.d_ptr);
          break;
        case DT_GNU_HASH:
          gnu_hash = At<uint32_t>(entry->d_un.d_ptr);
          break;
        case DT_HASH:
          hash = At<uint32_t>(entry->d_un.d_ptr);
          break;
        default:
          break;
      }
    }
    // Undefined symbols stand before the first that the GNU table has; the other table counts all.
    if (gnu_hash != nullptr) {
      count_ = gnu_hash[1];
    } else if (hash != nullptr) {
      count_ = hash[1];
    }
    has_count_ = gnu_hash != nullptr || hash != nullptr;
  }

  // The loader has made addresses of the offsets in most objects, but not in the kernel's (the vDSO).
  template <class T>
  const T* At(ElfW(Addr) address) const {
    return reinterpret_cast<const T*>(address < base_ ? base_ + address : address);
  }

  const ElfW(Addr) base_;
  const ElfW(Sym) * symbols_ = nullptr;
  const char* names_ = nullptr;
  uint32_t count_ = 0;
  bool has_count_ = false;
};

bool Contains(const dl_phdr_info& object, const void* address) {
  const auto place = reinterpret_cast<uintptr_t>(address);
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object.dlpi_phdr[i];
    const uintptr_t begin = object.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && place >= begin && place < begin + segment.p_memsz) return true;
  }
  return false;
}

bool LookThroughAllObjects() {
  const auto registers = reinterpret_cast<const void*>(&__register_atfork);
  const auto fork = reinterpret_cast<const void*>(&::fork);
  if (registers == nullptr) return true;
  bool is_program = true;  // the first one is
  bool is_librarys_own = false;
  bool has_registrar = false;
  ForEachLoadedObject([&](const dl_phdr_info& object) {
    const DynamicSymbols symbols(object);
    const bool is_library = Contains(object, registers);
    if (is_library) is_librarys_own = !is_program && Contains(object, fork);
    if (is_program && !symbols.known()) has_registrar = true;  // linked statically, whatever is in it
    if (!is_library && symbols.known() &&
        (symbols.Imports("__register_atfork") || symbols.Imports("pthread_atfork"))) {
      has_registrar = true;
    }
    is_program = false;
    return !has_registrar;
  });
  return has_registrar || !is_librarys_own;
}

// How often objects were loaded and unloaded when the answer was found, and the answer in the lowest bit; 0 is none yet.
constinit std::atomic<uint64_t> remembered = 0;

}  // namespace

bool NeedsCLibraryFork() {
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_MEMORY_SANITIZER) || \
    defined(ABSL_HAVE_THREAD_SANITIZER)
  return true;
#else
  uint64_t version = 0;
  ForEachLoadedObject([&version](const dl_phdr_info& object) {
    version = (uint64_t{object.dlpi_adds} << 32 | uint64_t{object.dlpi_subs}) << 1;
    return false;
  });
  // Relaxed: the answer is in the word itself.
  const uint64_t known = remembered.load(std::memory_order_relaxed);
  if (version != 0 && (known & ~uint64_t{1}) == version) return (known & 1) != 0;
  const bool needs = LookThroughAllObjects();
  remembered.store(version | (needs ? 1 : 0), std::memory_order_relaxed);
  return needs;
#endif
}

}  // namespace ko::os
