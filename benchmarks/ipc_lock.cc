// A lock between processes: one acquired and released by one process alone (Lock), and while another process does the
// same without a pause (LockContended).
//
// raw_futex is the lock of three states of Drepper's "Futexes Are Tricky", which a death leaves locked. The C library's
// robust mutex and System V's semaphore with undo are what the kernel takes back from the dead, as ko::Semaphore is.

#include <pthread.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include <atomic>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "ko/benchmarks/beside.h"
#include "ko/benchmarks/raw_futex.h"
#include "ko/benchmarks/shared_object.h"
#include "ko/ko.h"

#if __has_include(<boost/interprocess/sync/interprocess_mutex.hpp>)
#define KO_HAS_BOOST 1
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#endif

namespace {

using ko::benchmarks::Beside;
using ko::benchmarks::SharedObject;

class Ko {
 public:
  void Acquire() { semaphore_.Acquire().IgnoreError(); }
  void Release() { semaphore_.Release().IgnoreError(); }

 private:
  ko::Semaphore semaphore_ = *ko::Semaphore::Create();
};

class RawFutex {
 public:
  void Acquire() {
    uint32_t free = 0;
    if (word_->compare_exchange_strong(free, 1, std::memory_order_acquire)) return;
    while (word_->exchange(2, std::memory_order_acquire) != 0) ko::benchmarks::FutexSleep(*word_, 2);
  }
  void Release() {
    if (word_->exchange(0, std::memory_order_release) == 2) ko::benchmarks::FutexWakeOne(*word_);
  }

 private:
  SharedObject<std::atomic<uint32_t>> word_;
};

class PthreadRobust {
 public:
  PthreadRobust() {
    pthread_mutexattr_t attributes;
    ::pthread_mutexattr_init(&attributes);
    ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    ::pthread_mutex_init(&*mutex_, &attributes);
    ::pthread_mutexattr_destroy(&attributes);
  }
  void Acquire() {
    if (::pthread_mutex_lock(&*mutex_) == EOWNERDEAD) ::pthread_mutex_consistent(&*mutex_);
  }
  void Release() { ::pthread_mutex_unlock(&*mutex_); }

 private:
  SharedObject<pthread_mutex_t> mutex_;
};

class PosixSem {
 public:
  PosixSem() { ::sem_init(&*semaphore_, /*pshared=*/1, 1); }
  void Acquire() {
    while (::sem_wait(&*semaphore_) != 0) {
    }
  }
  void Release() { ::sem_post(&*semaphore_); }

 private:
  SharedObject<sem_t> semaphore_;
};

class SysvUndo {
 public:
  SysvUndo() : id_(::semget(IPC_PRIVATE, 1, 0600)) { ::semctl(id_, 0, SETVAL, 1); }
  ~SysvUndo() { ::semctl(id_, 0, IPC_RMID); }
  void Acquire() { Add(-1); }
  void Release() { Add(1); }

 private:
  void Add(short by) {
    sembuf operation = {0, by, SEM_UNDO};
    while (::semop(id_, &operation, 1) != 0) {
    }
  }
  const int id_;
};

#ifdef KO_HAS_BOOST
class Boost {
 public:
  void Acquire() { mutex_->lock(); }
  void Release() { mutex_->unlock(); }

 private:
  SharedObject<boost::interprocess::interprocess_mutex> mutex_;
};
#endif

template <class Contender>
void Lock(benchmark::State& state) {
  Contender lock;
  for (auto _ : state) {
    lock.Acquire();
    lock.Release();
  }
}

template <class Contender>
void LockContended(benchmark::State& state) {
  Contender lock;
  const Beside other([&] {
    lock.Acquire();
    lock.Release();
  });
  for (auto _ : state) {
    lock.Acquire();
    lock.Release();
  }
}

template <class Contender>
void Register(const char* name) {
  benchmark::RegisterBenchmark(absl::StrCat("Lock/", name).c_str(), &Lock<Contender>);
  benchmark::RegisterBenchmark(absl::StrCat("LockContended/", name).c_str(), &LockContended<Contender>)
      ->UseRealTime();
}

const bool registered = [] {
  Register<Ko>("ko");
  Register<RawFutex>("raw_futex");
  Register<PthreadRobust>("pthread_robust");
  Register<PosixSem>("posix_sem");
  Register<SysvUndo>("sysv_undo");
#ifdef KO_HAS_BOOST
  Register<Boost>("boost");
#endif
  return true;
}();

}  // namespace
