#ifndef KO_OS_LOADED_CODE_H_
#define KO_OS_LOADED_CODE_H_

#include <cstdint>
#include <vector>

namespace ko::os {

// The program's code and that of the libraries loaded at one moment: where a process forked then has the same code as this
// one has now.
//
// Threads: any. Fork: a value. Signals: not in a handler (the loader's lock). Crash, errors: none.
class LoadedCode {
 public:
  static LoadedCode Now();

  // Whether `function` is code that was there then and has stayed. False also for a library's function when any library has
  // been unloaded since: another may have taken its place.
  bool Has(const void* function) const;

 private:
  struct Range {
    uintptr_t begin, end;
  };
  std::vector<Range> program_;
  std::vector<Range> libraries_;
  uint64_t unloads_ = 0;
};

}  // namespace ko::os

#endif  // KO_OS_LOADED_CODE_H_
