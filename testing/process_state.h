#ifndef KO_TESTING_PROCESS_STATE_H_
#define KO_TESTING_PROCESS_STATE_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "ko/os/process_stat.h"

namespace ko::testing {

// What /proc/PID/stat says of a process, and the waiting for it to say something else. The waits have no
// limit of their own: the test's is what ends one that never comes true. Threads: any.
using ProcessState = os::ProcessStat;

// Empty where there is no such process (a zombie is one).
std::optional<ProcessState> ReadProcessState(pid_t pid);

// Waits until the condition holds; false where the process has gone before it did.
bool AwaitProcess(pid_t pid, absl::FunctionRef<bool(const ProcessState&)> condition);

// Waits until the process is in the state; false where it has gone before.
bool AwaitState(pid_t pid, char letter);

// Waits until the process, with all of its threads, has ended: reaped, or a zombie that somebody has to reap.
// (The letter of a threaded process is Z as soon as its first thread has ended.)
void AwaitEnded(pid_t pid);

// This process's children, zombies too, in no order.
std::vector<pid_t> Children();

// Makes orphaned descendants of this process its children, so that a test sees and reaps them
// (PR_SET_CHILD_SUBREAPER).
void AdoptOrphans();

// How many descriptors this process has open, the one that it looks with among them.
int CountDescriptors();

// The value of a line of /proc/PID/status, "Umask" say; empty where there is none.
std::string StatusLine(pid_t pid, const std::string& name);

// A set of signals of a process: "SigBlk", "SigIgn" or "SigCgt", signal n as bit n - 1. Without 32 and 33,
// which the C library keeps for itself.
uint64_t SignalSet(pid_t pid, const std::string& name);

}  // namespace ko::testing

#endif  // KO_TESTING_PROCESS_STATE_H_
