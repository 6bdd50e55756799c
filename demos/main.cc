// The demo host: every demo that is built in stands in the table below; others come by --plugin=PATH.so.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "demos/amqp_worker/amqp_worker.h"
#include "demos/daemon/daemon.h"
#include "demos/fork_server/fork_server.h"
#include "demos/hello/hello.h"
#include "demos/host/host.h"
#include "demos/parallel_map/parallel_map.h"
#include "demos/prefork_http/prefork_http.h"
#include "demos/respawn/respawn.h"
#include "demos/semaphore/semaphore.h"
#include "demos/shared_memory/shared_memory.h"
#include "demos/supervisor/supervisor.h"
#include "demos/wait_all/wait_all.h"
#include "demos/workers/workers.h"

int main(int argc, char** argv) {
  // `bazel run` starts programs somewhere else; a relative path is meant from where the user is.
  if (const char* user_directory = std::getenv("BUILD_WORKING_DIRECTORY"); user_directory != nullptr) {
    if (::chdir(user_directory) != 0) std::perror(user_directory);
  }
  std::vector<std::unique_ptr<ko::demos::Demo>> demos;
  demos.push_back(std::make_unique<ko::demos::Hello>());
  demos.push_back(std::make_unique<ko::demos::WaitAll>());
  demos.push_back(std::make_unique<ko::demos::Daemon>());
  demos.push_back(std::make_unique<ko::demos::Respawn>());
  demos.push_back(std::make_unique<ko::demos::AmqpWorker>());
  demos.push_back(std::make_unique<ko::demos::SharedMemoryDemo>());
  demos.push_back(std::make_unique<ko::demos::SemaphoreDemo>());
  demos.push_back(std::make_unique<ko::demos::Workers>());
  demos.push_back(std::make_unique<ko::demos::ForkServerDemo>());
  demos.push_back(std::make_unique<ko::demos::ParallelMap>());
  demos.push_back(std::make_unique<ko::demos::SupervisorDemo>());
  demos.push_back(std::make_unique<ko::demos::PreforkHttp>());
  return ko::demos::RunHost(std::move(demos), std::vector<std::string>(argv + 1, argv + argc));
}
