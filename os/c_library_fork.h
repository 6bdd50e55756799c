#ifndef KO_OS_C_LIBRARY_FORK_H_
#define KO_OS_C_LIBRARY_FORK_H_

namespace ko::os {

// Whether forks of this program have to be the C library's: somebody may have registered handlers with it
// (pthread_atfork), a fork of somebody else's stands in its place (a profiler's, say), or a sanitizer has to know.
// Anybody's handlers are supposed where an object that is loaded, the program included, imports what registers them.
// Looked at again when an object has been loaded or unloaded since.
//
// Threads: true where there is another one. Fork: any process. Signals: not in a handler (the loader's lock). Crash, errors:
// none; true when in doubt.
bool NeedsCLibraryFork();

}  // namespace ko::os

#endif  // KO_OS_C_LIBRARY_FORK_H_
