#ifndef KO_OS_REGISTER_ATFORK_H_
#define KO_OS_REGISTER_ATFORK_H_

// What pthread_atfork calls (part of glibc's binary interface, LSB). Declared weak, so that this project's own import of it
// is told from somebody's who registers handlers, see NeedsCLibraryFork.
extern "C" int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso_handle)
    __attribute__((weak));

#endif  // KO_OS_REGISTER_ATFORK_H_
