#ifndef KO_OS_LOADED_OBJECTS_H_
#define KO_OS_LOADED_OBJECTS_H_

#include <link.h>

#include "absl/functional/function_ref.h"

namespace ko::os {

// The program and the libraries that are loaded, the program first. `visit` returns whether to go on.
inline void ForEachLoadedObject(absl::FunctionRef<bool(const dl_phdr_info&)> visit) {
  const auto call = [](dl_phdr_info* info, size_t, void* data) {
    return (*static_cast<absl::FunctionRef<bool(const dl_phdr_info&)>*>(data))(*info) ? 0 : 1;
  };
  ::dl_iterate_phdr(call, &visit);
}

}  // namespace ko::os

#endif  // KO_OS_LOADED_OBJECTS_H_
