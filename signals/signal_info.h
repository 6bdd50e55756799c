#ifndef KO_SIGNALS_SIGNAL_INFO_H_
#define KO_SIGNALS_SIGNAL_INFO_H_

#include <sys/types.h>

namespace ko {

// What the kernel tells about a signal (sigaction(2), siginfo_t). A value.
struct SignalInfo {
  int signo;
  int code;          // SI_USER for kill, SI_QUEUE for sigqueue, SI_KERNEL for the terminal's keys, ...
  pid_t sender_pid;  // of kill and sigqueue
  uid_t sender_uid;
  int value;  // sigqueue's sival_int
};

}  // namespace ko

#endif  // KO_SIGNALS_SIGNAL_INFO_H_
