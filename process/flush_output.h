#ifndef KO_PROCESS_FLUSH_OUTPUT_H_
#define KO_PROCESS_FLUSH_OUTPUT_H_

namespace ko {

// Writes out what stdio (every FILE of the program) and the standard iostreams have buffered. Before a fork:
// it would be printed by both processes. Before _exit: it would be lost.
//
// Threads: waits for those that use a FILE, so for ever for one that sleeps in a read of one. Errors: none
// are told.
void FlushOutput();

}  // namespace ko

#endif  // KO_PROCESS_FLUSH_OUTPUT_H_
