// Forks a function and waits for it.
#include "ko/process/fork.h"

#include <iostream>

#include "absl/status/statusor.h"

int main() {
  absl::StatusOr<ko::Child> child = ko::Fork([] { return 7; });
  if (!child.ok()) {
    std::cerr << child.status() << "\n";
    return 1;
  }
  const absl::StatusOr<ko::ExitStatus> status = child->Wait();
  if (!status.ok() || status->exit_code() != 7) {
    std::cerr << "the child did not end with 7\n";
    return 1;
  }
  std::cout << "the child ended with 7\n";
}
