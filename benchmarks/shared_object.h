#ifndef KO_BENCHMARKS_SHARED_OBJECT_H_
#define KO_BENCHMARKS_SHARED_OBJECT_H_

#include <new>

#include "ko/os/shared_mapping.h"

namespace ko::benchmarks {

// A T in memory that forked processes share.
template <class T>
class SharedObject {
 public:
  SharedObject() { ::new (memory_.data()) T(); }
  T& operator*() const { return *static_cast<T*>(memory_.data()); }
  T* operator->() const { return &**this; }

 private:
  os::SharedMapping memory_ = *os::SharedMapping::Create(sizeof(T));
};

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_SHARED_OBJECT_H_
