#ifndef KO_TESTING_READ_ALL_H_
#define KO_TESTING_READ_ALL_H_

#include <string>

namespace ko::testing {

// All that is still to be read from `fd`, which stays open: up to the end of a file, or until a pipe has no
// writer left.
std::string ReadAll(int fd);

// The contents of a file; empty where there is none.
std::string ReadFile(const std::string& path);

}  // namespace ko::testing

#endif  // KO_TESTING_READ_ALL_H_
