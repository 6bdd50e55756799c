// A shared library whose function the test gives to a ForkServer.

#include "ko/process/fork_server.h"

namespace {

int Triple(int number) { return 3 * number; }

}  // namespace

extern "C" absl::StatusOr<ko::Child>* ForkTriple(const ko::ForkServer& server, int number) {
  return new absl::StatusOr<ko::Child>(server.Fork<&Triple>(number));
}
