#ifndef KO_OS_TERMINAL_INTERRUPT_H_
#define KO_OS_TERMINAL_INTERRUPT_H_

namespace ko::os {

// A terminal's Ctrl-C reaches a supervisor and its children alike, and it is the supervisor's to pass on in
// its order.

// From now on a SIGINT that the terminal sends is ignored here; one that a process sends has its default
// action.
void LeaveTerminalInterruptsToParent();

// Whether that is how this process takes SIGINT.
bool TerminalInterruptsAreLeftToParent();

// Whether SIGINT is ignored altogether, as shells do it for programs in the background.
bool InterruptsAreIgnored();

}  // namespace ko::os

#endif  // KO_OS_TERMINAL_INTERRUPT_H_
