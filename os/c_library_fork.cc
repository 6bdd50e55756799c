#include "ko/os/c_library_fork.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "absl/base/config.h"
#include "ko/os/register_atfork.h"

namespace ko::os {
namespace {

#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_MEMORY_SANITIZER) || \
    defined(ABSL_HAVE_THREAD_SANITIZER)
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif

// What an object's dynamic section says of its symbols.
class DynamicSymbols {
 public:
  explicit DynamicSymbols(const link_map& object) : base_(object.l_addr) {
    if (object.l_ld != nullptr) Read(object.l_ld);
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

// The program's, the first of all; null where it has been linked statically. It is never unloaded.
const link_map* FindProgram() {
  void* const handle = ::dlopen(nullptr, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return nullptr;
  const link_map* program = nullptr;
  if (::dlinfo(handle, RTLD_DI_LINKMAP, &program) != 0) program = nullptr;
  ::dlclose(handle);
  return program;
}

const link_map* ObjectOf(const void* address) {
  Dl_info info;
  link_map* object = nullptr;
  return ::dladdr1(address, &info, reinterpret_cast<void**>(&object), RTLD_DL_LINKMAP) != 0 ? object
                                                                                            : nullptr;
}

bool LookThroughAllObjects(const link_map& program) {
  const link_map* const library = ObjectOf(reinterpret_cast<const void*>(&__register_atfork));
  const link_map* const forks = ObjectOf(reinterpret_cast<const void*>(&::fork));
  if (library == nullptr || library == &program || forks != library) return true;
  if (!DynamicSymbols(program).known()) return true;
  for (const link_map* object = &program; object != nullptr; object = object->l_next) {
    const DynamicSymbols symbols(*object);
    if (object != library && symbols.known() &&
        (symbols.Imports("__register_atfork") || symbols.Imports("pthread_atfork"))) {
      return true;
    }
  }
  return false;
}

// Another one when an object has been loaded or unloaded. Reads the loader's list without its lock, as the only thread may;
// taking the lock is writing to a page that the child would copy.
uint64_t VersionOf(const link_map& program) {
  uint64_t version = 1;
  for (const link_map* object = &program; object != nullptr; object = object->l_next) {
    for (const uintptr_t part : {reinterpret_cast<uintptr_t>(object), uintptr_t{object->l_addr},
                                 reinterpret_cast<uintptr_t>(object->l_ld)}) {
      version = (version ^ part) * 0x9e3779b97f4a7c15u;
      version ^= version >> 32;
    }
  }
  return version | 1;
}

// What was found, with the version in the other bits; 0 is nothing yet.
constinit std::atomic<uint64_t> remembered = 0;
constexpr uint64_t kNeeded = 2;

}  // namespace

bool NeedsCLibraryFork() {
  if (kIsSanitized || !__libc_single_threaded) return true;
  static const link_map* const program = FindProgram();
  if (program == nullptr) return true;
  const uint64_t version = VersionOf(*program) & ~kNeeded;
  // Relaxed: the answer is in the word itself.
  const uint64_t known = remembered.load(std::memory_order_relaxed);
  if ((known & ~kNeeded) == version) return (known & kNeeded) != 0;
  const bool needs = LookThroughAllObjects(*program);
  remembered.store(version | (needs ? kNeeded : 0), std::memory_order_relaxed);
  return needs;
}

}  // namespace ko::os
