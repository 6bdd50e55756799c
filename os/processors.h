#ifndef KO_OS_PROCESSORS_H_
#define KO_OS_PROCESSORS_H_

namespace ko::os {

// Whether the calling thread may run on more than one processor now, so that another one can be at work while it spins.
bool HasSeveralProcessors();

}  // namespace ko::os

#endif  // KO_OS_PROCESSORS_H_
