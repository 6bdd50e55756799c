#ifndef KO_OS_RELAX_H_
#define KO_OS_RELAX_H_

namespace ko::os {

// Between two looks at a word that another processor is about to change.
inline void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace ko::os

#endif  // KO_OS_RELAX_H_
