// Messages of `bytes` bytes from `pairs` sending processes to as many receiving ones. The time is that of a message at one
// receiver; items_per_second counts all receivers.
//
// Each contender has room for as many messages, where its kernel object lets it. raw_ring knows one sender, one receiver,
// no sleep and no death: what moving a message costs at all.
//
// Latency: from the time at which a message of 8 bytes was due until it is received, at so many messages a second.

#include <fcntl.h>
#include <mqueue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "ko/benchmarks/beside.h"
#include "ko/benchmarks/shared_object.h"
#include "ko/ko.h"
#include "ko/os/relax.h"
#include "ko/os/unique_fd.h"

#if __has_include(<boost/interprocess/ipc/message_queue.hpp>)
#define KO_HAS_BOOST 1
#include <boost/interprocess/ipc/message_queue.hpp>
#endif

namespace {

using ko::benchmarks::Beside;
using ko::benchmarks::SharedObject;

constexpr size_t Capacity(size_t bytes) { return std::clamp<size_t>((1 << 20) / bytes, 16, 1024); }

std::string UniqueName() { return absl::StrCat("ko-benchmark-", ::getpid()); }

template <size_t kBytes>
struct Message {
  uint64_t words[kBytes / 8];
};

template <size_t kBytes>
class Ko {
 public:
  void Send(const Message<kBytes>& message) { channel_.Send(message).IgnoreError(); }
  void Receive(Message<kBytes>& message) { message = *channel_.Receive(); }

 private:
  ko::Channel<Message<kBytes>> channel_ =
      *ko::Channel<Message<kBytes>>::Create({.capacity = Capacity(kBytes)});
};

template <size_t kBytes>
class KoString {
 public:
  void Send(const Message<kBytes>& message) {
    channel_.Send({reinterpret_cast<const char*>(&message), sizeof(message)}).IgnoreError();
  }
  void Receive(Message<kBytes>& message) {
    std::memcpy(&message, channel_.Receive()->data(), sizeof(message));
  }

 private:
  ko::Channel<std::string> channel_ =
      *ko::Channel<std::string>::Create({.capacity = Capacity(kBytes), .max_message_bytes = kBytes});
};

template <size_t kBytes>
class RawRing {
 public:
  void Send(const Message<kBytes>& message) {
    while (tail_ - seen_head_ == kCapacity) {
      seen_head_ = ring_->head.load(std::memory_order_acquire);  // pairs with Receive
      if (tail_ - seen_head_ == kCapacity) ko::os::Relax();
    }
    ring_->messages[tail_ % kCapacity] = message;
    ring_->tail.store(++tail_, std::memory_order_release);
  }
  void Receive(Message<kBytes>& message) {
    while (head_ == seen_tail_) {
      seen_tail_ = ring_->tail.load(std::memory_order_acquire);  // pairs with Send
      if (head_ == seen_tail_) ko::os::Relax();
    }
    message = ring_->messages[head_ % kCapacity];
    ring_->head.store(++head_, std::memory_order_release);
  }

 private:
  static constexpr size_t kCapacity = Capacity(kBytes);
  struct Ring {
    alignas(128) std::atomic<uint64_t> head = 0;
    alignas(128) std::atomic<uint64_t> tail = 0;
    alignas(128) Message<kBytes> messages[kCapacity];
  };
  SharedObject<Ring> ring_;
  // Each process has its own.
  alignas(128) uint64_t head_ = 0, seen_tail_ = 0;
  alignas(128) uint64_t tail_ = 0, seen_head_ = 0;
};

// A pipe or a pair of sockets, as large as its capacity where the kernel allows.
class Fds {
 public:
  void Open(int fds[2]) {
    read_.reset(fds[0]);
    write_.reset(fds[1]);
  }
  void Write(const void* from, size_t bytes) {
    for (const char* at = static_cast<const char*>(from); bytes > 0;) {
      const ssize_t written = ::write(write_.get(), at, bytes);
      if (written <= 0) continue;
      at += written;
      bytes -= written;
    }
  }
  void Read(void* to, size_t bytes) {
    for (char* at = static_cast<char*>(to); bytes > 0;) {
      const ssize_t got = ::read(read_.get(), at, bytes);
      if (got <= 0) continue;
      at += got;
      bytes -= got;
    }
  }
  int write_fd() const { return write_.get(); }

 private:
  ko::os::UniqueFd read_, write_;
};

template <size_t kBytes>
class Pipe {
 public:
  Pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) == 0) fds_.Open(fds);
    ::fcntl(fds_.write_fd(), F_SETPIPE_SZ,
            static_cast<int>(std::min<size_t>(Capacity(kBytes) * kBytes, 1 << 20)));
  }
  void Send(const Message<kBytes>& message) { fds_.Write(&message, sizeof(message)); }
  void Receive(Message<kBytes>& message) { fds_.Read(&message, sizeof(message)); }

 private:
  Fds fds_;
};

template <size_t kBytes>
class Seqpacket {
 public:
  Seqpacket() {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0) fds_.Open(fds);
    const int bytes = static_cast<int>(Capacity(kBytes) * kBytes);
    ::setsockopt(fds_.write_fd(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
  }
  void Send(const Message<kBytes>& message) { fds_.Write(&message, sizeof(message)); }
  void Receive(Message<kBytes>& message) { fds_.Read(&message, sizeof(message)); }

 private:
  Fds fds_;
};

template <size_t kBytes>
class PosixMq {
 public:
  // 10 is what the kernel lets every user have.
  PosixMq() : queue_(OpenQueue(Capacity(kBytes))) {
    if (!queue_.valid()) queue_ = OpenQueue(10);
  }
  bool valid() const { return queue_.valid(); }
  void Send(const Message<kBytes>& message) {
    while (::mq_send(queue_.get(), reinterpret_cast<const char*>(&message), sizeof(message), 0) != 0) {
    }
  }
  void Receive(Message<kBytes>& message) {
    while (::mq_receive(queue_.get(), reinterpret_cast<char*>(&message), sizeof(message), nullptr) < 0) {
    }
  }

 private:
  static ko::os::UniqueFd OpenQueue(long messages) {
    mq_attr attributes = {};
    attributes.mq_maxmsg = messages;
    attributes.mq_msgsize = kBytes;
    const std::string name = "/" + UniqueName();
    ko::os::UniqueFd queue(::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes));
    ::mq_unlink(name.c_str());
    return queue;
  }
  ko::os::UniqueFd queue_;
};

#ifdef KO_HAS_BOOST
namespace bip = boost::interprocess;

template <size_t kBytes>
class Boost {
 public:
  Boost() {
    bip::message_queue::remove(UniqueName().c_str());
  }  // whatever ends the benchmark, nothing is left
  void Send(const Message<kBytes>& message) { queue_.send(&message, sizeof(message), 0); }
  void Receive(Message<kBytes>& message) {
    bip::message_queue::size_type bytes;
    unsigned priority;
    queue_.receive(&message, sizeof(message), bytes, priority);
  }

 private:
  bip::message_queue queue_{bip::create_only, UniqueName().c_str(), Capacity(kBytes), kBytes};
};
#endif

template <template <size_t> class Contender, size_t kBytes>
void Channel(benchmark::State& state) {
  const auto channel = std::make_unique<Contender<kBytes>>();
  Message<kBytes> message = {};  // each process has its own
  const auto send = [&] {
    ++message.words[0];
    channel->Send(message);
  };
  const auto receive = [&] {
    channel->Receive(message);
    // All of it, whoever receives.
    const void* received = &message;
    benchmark::DoNotOptimize(received);
    benchmark::ClobberMemory();
    return message.words[0];
  };
  const SharedObject<std::atomic<uint64_t>> received_elsewhere;
  std::vector<std::unique_ptr<Beside>> others;
  for (int pair = 0; pair < state.range(1); ++pair) {
    others.push_back(std::make_unique<Beside>(send));
    if (pair == 0) continue;
    others.push_back(std::make_unique<Beside>([&] {
      receive();
      received_elsewhere->fetch_add(1, std::memory_order_relaxed);  // a statistic
    }));
  }
  uint64_t count = receive();  // all are there
  const uint64_t elsewhere_before = received_elsewhere->load();
  for (auto _ : state) {
    const uint64_t number = receive();
    if (state.range(1) == 1 && number != ++count) state.SkipWithError("a message is missing");
  }
  state.SetItemsProcessed(state.iterations() +
                          static_cast<int64_t>(received_elsewhere->load() - elsewhere_before));
}

int64_t NowNanoseconds() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// Messages become due at a fixed rate, whether or not the ones before have come through: who cannot keep up has them wait.
template <template <size_t> class Contender>
void Latency(benchmark::State& state) {
  const auto channel = std::make_unique<Contender<8>>();
  const int64_t period = 1'000'000'000 / state.range(0);
  Message<8> message = {};  // when it was due; each process has its own
  int64_t due = NowNanoseconds();
  const Beside sender([&] {
    due += period;
    // Sleeping ends late, so the last of it is spent looking at the clock.
    if (const int64_t left = due - NowNanoseconds(); left > 200'000) {
      const int64_t sleep = left - 150'000;
      const timespec time = {sleep / 1'000'000'000, sleep % 1'000'000'000};
      ::nanosleep(&time, nullptr);
    }
    while (NowNanoseconds() < due) ko::os::Relax();
    message.words[0] = static_cast<uint64_t>(due);
    channel->Send(message);
  });
  channel->Receive(message);  // it is there
  std::vector<double> seconds(std::max<int64_t>(100, state.range(0) / 10));
  for (auto _ : state) {
    for (double& latency : seconds) {
      const uint64_t previous = message.words[0];
      channel->Receive(message);
      latency = static_cast<double>(NowNanoseconds() - static_cast<int64_t>(message.words[0])) * 1e-9;
      if (message.words[0] != previous + static_cast<uint64_t>(period)) {
        state.SkipWithError("a message is missing");
      }
    }
    // The median: a mean would tell of the few that the machine's other work has held up.
    std::sort(seconds.begin(), seconds.end());
    state.SetIterationTime(seconds[seconds.size() / 2]);
  }
  state.counters["p99_ns"] = seconds[seconds.size() * 99 / 100] * 1e9;
}

// One iteration is a tenth of a second of messages.
template <template <size_t> class Contender>
void RegisterLatency(const std::string& contender) {
  for (const int per_second : {1000, 10'000, 100'000, 1'000'000}) {
    benchmark::RegisterBenchmark(absl::StrCat("Latency/", contender).c_str(), &Latency<Contender>)
        ->ArgName("per_second")
        ->Arg(per_second)
        ->Iterations(1)
        ->UseManualTime();
  }
}

template <template <size_t> class Contender, size_t kBytes>
void Register(const std::string& contender, int max_pairs) {
  auto* const benchmark =
      benchmark::RegisterBenchmark(absl::StrCat("Channel/", contender).c_str(), &Channel<Contender, kBytes>);
  benchmark->ArgNames({"bytes", "pairs"})->UseRealTime();
  for (int pairs = 1; pairs <= max_pairs; ++pairs) benchmark->Args({kBytes, pairs});
}

template <size_t kBytes>
void RegisterAll() {
  Register<Ko, kBytes>("ko", 2);
  Register<KoString, kBytes>("ko_string", 2);
  Register<RawRing, kBytes>("raw_ring", 1);
  Register<Pipe, kBytes>("pipe",
                         kBytes <= PIPE_BUF ? 2 : 1);  // longer ones of several writers would be mixed
  Register<Seqpacket, kBytes>("seqpacket", 2);
  if (PosixMq<kBytes>().valid()) Register<PosixMq, kBytes>("posix_mq", 2);
#ifdef KO_HAS_BOOST
  Register<Boost, kBytes>("boost", 2);
#endif
}

const bool registered = [] {
  RegisterLatency<Ko>("ko");
  RegisterLatency<Pipe>("pipe");
  RegisterLatency<Seqpacket>("seqpacket");
#ifdef KO_HAS_BOOST
  RegisterLatency<Boost>("boost");
#endif
  RegisterAll<8>();
  RegisterAll<64>();
  RegisterAll<1024>();
  RegisterAll<65536>();
  return true;
}();

}  // namespace
