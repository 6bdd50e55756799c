// Everything by one include: a managed process that changes shared memory.
#include "ko/ko.h"

#include <iostream>

#include "absl/status/statusor.h"

int main() {
  ko::ProcessManager manager;
  const absl::StatusOr<ko::ExitStatus> status = manager.Fork([](ko::Self&) { return 3; }).Wait();
  if (!status.ok() || status->exit_code() != 3) {
    std::cerr << "the process did not end with 3\n";
    return 1;
  }
  std::cout << "the process ended with 3\n";
}
