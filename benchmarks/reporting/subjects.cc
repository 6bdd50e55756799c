#include "ko/benchmarks/reporting/subjects.h"

#include <vector>

namespace ko::benchmarks {
namespace {

const std::vector<Subject>& All() {
  using enum Subject::Shows;
  static const auto* const all = new std::vector<Subject>{
      {"ForkWait", "Forking, by the caller's memory",
       "A child is made, ends, and is waited for, by a caller that has so much memory of its own.",
       "raw_fork", "rss_mb", "the caller's memory in MiB", kTime},
      {"Channel", "Messages between processes, by their size",
       "Messages of so many bytes from each of so many sending processes to as many receiving ones.", "pipe",
       "bytes", "bytes in a message", kItems},
      {"ForkBody", "From the call to the child's first line",
       "How long it takes from the call until the body's first line runs.", "raw_fork", "rss_mb",
       "the caller's memory in MiB", kTime},
      {"RoundTrip", "A word to another process and its answer",
       "With idle_us:0 both are busy with nothing else; else both have been asleep for so many microseconds.",
       "futex", "", "", kTime},
      {"Latency", "Latency, by the load",
       "The median time from when a message of 8 bytes was due until it is received, at so many messages a "
       "second; who cannot keep up has them wait.",
       "pipe", "per_second", "messages a second", kTime},
      {"Lock", "A lock, alone", "Acquired and released by one process, with nobody else about.",
       "pthread_robust", "", "", kTime},
      {"LockContended", "A lock, fought for",
       "Acquired and released while another process does the same without a pause.", "pthread_robust", "", "",
       kTime},
      {"MapGet", "Reading a map, by its keys",
       "One value of so many bytes is read, of so many keys at random.", "flat_hash_map", "keys",
       "keys in the map", kTime},
      {"MapSet", "Writing a map, by its keys",
       "One value of so many bytes is overwritten, of so many keys at random.", "flat_hash_map", "keys",
       "keys in the map", kTime},
      {"MapGetBesideWriter", "Reading a map that another process writes",
       "As MapGet, while another process overwrites values without a pause.", "boost", "keys",
       "keys in the map", kTime},
      {"MapSetBesideReader", "Writing a map that another process reads",
       "As MapSet, while another process reads values without a pause.", "boost", "keys", "keys in the map",
       kTime},
      {"JobQueue", "Jobs through one process",
       "A job of so many bytes is published, received and acknowledged by one process.", "ko", "bytes",
       "bytes in a job", kTime},
      {"PoolThroughput", "Empty tasks through a pool", "So many tasks are submitted together, and awaited.",
       "thread_pool", "chunk", "tasks in a chunk", kItems},
      {"PoolRoundTrip", "One task through a pool", "An empty task is submitted, and its result awaited.",
       "thread_pool", "", "", kTime},
      {"PoolMap", "Work on all processors", "Tasks that compute, mapped over a range.", "thread_pool", "", "",
       kTime},
      {"Respawn", "From a death to its replacement",
       "From the death of a supervised process until the first line of the one in its place has run.",
       "raw_loop", "rss_mb", "the caller's memory in MiB", kTime},
      {"ExitHandling", "Noticing an end among many",
       "One of the children that were started last has ended; it is noticed, reaped and its handler run, by "
       "a "
       "program that has so many others alive.",
       "raw_epoll", "live", "children alive", kTime},
      {"ExitHandlingOld", "Noticing the end of an old one among many",
       "The same for those that were started among the others: their memory has gone cold since, and is in "
       "pages that all younger ones share.",
       "raw_epoll", "live", "children alive", kTime},
      {"IdleWakeups", "A manager whose children do nothing",
       "How often a manager of so many children that do nothing runs in two seconds.", "", "", "", kCounter,
       "wakeups"},
      {"Queue", "Jobs through a broker",
       "A batch of jobs is published, at most 512 of them unconfirmed; then each is received and "
       "acknowledged, over another connection. shm is the queue in shared memory, bare the client library "
       "alone.",
       "bare", "bytes", "bytes in a job", kItems},
      {"SignalDelivery", "A signal until its handler has run",
       "The process sends itself a signal and runs what has come.", "signalfd", "", "", kTime},
      {"SignalIdle", "Looking for signals when there are none", "What a loop pays for asking.", "signalfd",
       "", "", kTime},
      {"SetTitle", "Setting the process's title", "To another title of so many bytes.", "pr_set_name",
       "bytes", "bytes in the title", kTime},
      {"Limits", "What the machine itself takes", "The parts that all other figures are made of.", "", "", "",
       kTime},
      {"Workers", "The main job",
       "Every file under a folder is counted in a process of its own, against find and xargs.", "xargs", "",
       "", kTime},
  };
  return *all;
}

}  // namespace

Subject FindSubject(std::string_view name) {
  int rank = 0;
  for (const Subject& subject : All()) {
    if (subject.name == name) {
      Subject found = subject;
      found.rank = rank;
      return found;
    }
    ++rank;
  }
  return {.name = std::string(name),
          .title = std::string(name),
          .sentence = "",
          .baseline = "",
          .x = "",
          .x_title = ""};
}

bool IsOurs(std::string_view contender) {
  // The queues are named by their URLs' schemes.
  return contender == "ko" || contender == "shm" || contender == "amqp" || contender.starts_with("ko_") ||
         contender.starts_with("fork_server");
}

}  // namespace ko::benchmarks
