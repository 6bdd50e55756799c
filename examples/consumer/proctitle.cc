// Names itself in ps.
#include <iostream>

#include "absl/status/status.h"
#include "ko/proctitle/process_title.h"

int main() {
  const absl::Status named = ko::SetProcessTitle("consumer");
  if (!named.ok() || ko::GetProcessTitle() != "consumer") {
    std::cerr << "the process has not been named: " << named << "\n";
    return 1;
  }
  std::cout << "named " << ko::GetProcessTitle() << "\n";
}
