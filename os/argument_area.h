#ifndef KO_OS_ARGUMENT_AREA_H_
#define KO_OS_ARGUMENT_AREA_H_

#include <string>

#include "absl/status/status.h"

namespace ko::os {

// The memory that /proc/PID/cmdline, and so ps and top, show as the command line. Where the C library keeps argv is
// another matter, and does not change.
//
// Threads: one at a time. Fork: children inherit it. Signals, crash: none.

// Makes [start, end) the area (prctl(2), PR_SET_MM_MAP; no privileges needed). It must lie in an anonymous mapping, and
// stay mapped. The kernel shows all of it where its last byte is 0, else the text at its start up to a 0, at most a page.
// Unimplemented where the kernel or a sandbox does not allow that; NotFound without /proc.
absl::Status MoveArgumentArea(char* start, char* end);

// Whether MoveArgumentArea can work: tries with the area as it is.
bool ArgumentAreaCanMove();

// /proc/self/cmdline; empty where it cannot be read.
std::string ReadCommandLine();

// The name of the process (/proc/PID/comm), which is that of its first thread; at most 15 bytes.
std::string ReadProcessName();
void SetProcessName(const std::string& name);

}  // namespace ko::os

#endif  // KO_OS_ARGUMENT_AREA_H_
