#ifndef KO_TESTING_CODE_LOCATION_H_
#define KO_TESTING_CODE_LOCATION_H_

#include <cstdint>
#include <string>

namespace ko::testing {

// The name of the function that has an address of code in this process, "?" where none is known.
std::string SymbolAt(uint64_t address);

// The function, the place in it and, where addr2line and line information are to be had, the source line.
// Starts a process. Threads: any.
std::string DescribeCode(uint64_t address);

}  // namespace ko::testing

#endif  // KO_TESTING_CODE_LOCATION_H_
