#ifndef KO_BENCHMARKS_BESIDE_H_
#define KO_BENCHMARKS_BESIDE_H_

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace ko::benchmarks {

// Another process that runs `body` in a loop for as long as this object lives, and no longer than the benchmark.
class Beside {
 public:
  template <class Body>
  explicit Beside(Body body) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      while (true) body();
    } catch (...) {  // from contenders that throw when another one is killed at the end of the benchmark
      ::_exit(1);
    }
  }
  Beside(const Beside&) = delete;
  ~Beside() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  const pid_t pid_;
};

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_BESIDE_H_
