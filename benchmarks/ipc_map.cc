// A map in shared memory: one value read or written, of `keys` keys and `bytes` bytes, in random order.
//
// flat_hash_map shares nothing and knows no lock: what a map costs at all. boost is an unordered_map in managed shared
// memory under an interprocess_mutex, as its documentation builds one. lmdb is a database in a file in memory that is never
// synchronized; it reads in one transaction that is renewed for each value, and writes each value in one of its own.

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "ko/benchmarks/beside.h"
#include "ko/ko.h"

#if __has_include(<boost/interprocess/managed_shared_memory.hpp>)
#define KO_HAS_BOOST 1
#include <boost/container/scoped_allocator.hpp>
#include <boost/container_hash/hash.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/unordered_map.hpp>
#include <boost/version.hpp>
#endif

#if __has_include(<lmdb.h>)
#define KO_HAS_LMDB 1
#include <lmdb.h>
#endif

namespace {

using ko::benchmarks::Beside;

template <size_t kBytes>
struct Value {
  uint64_t words[kBytes / 8];
};

template <size_t kBytes>
class Ko {
 public:
  explicit Ko(size_t keys)
      : memory_(*ko::SharedMemory::Create(keys * (64 + (kBytes + 63) / 64 * 64) + (1 << 16))) {}
  void Set(const std::string& key, const Value<kBytes>& value) {
    if constexpr (kBytes == 8) {
      memory_.Set(key, value.words[0]).IgnoreError();
    } else {
      memory_.Set(key, value).IgnoreError();
    }
  }
  uint64_t Get(const std::string& key) {
    if constexpr (kBytes == 8) {
      return *memory_.Get<uint64_t>(key);
    } else {
      return memory_.Get<Value<kBytes>>(key)->words[kBytes / 8 - 1];
    }
  }

 private:
  ko::SharedMemory memory_;
};

template <size_t kBytes>
class FlatHashMap {
 public:
  explicit FlatHashMap(size_t) {}
  void Set(const std::string& key, const Value<kBytes>& value) { map_[key] = value; }
  uint64_t Get(const std::string& key) {
    const Value<kBytes> value = map_.find(key)->second;
    return value.words[kBytes / 8 - 1];
  }

 private:
  absl::flat_hash_map<std::string, Value<kBytes>> map_;
};

#ifdef KO_HAS_BOOST
namespace bip = boost::interprocess;

template <size_t kBytes>
class Boost {
  using Segment = bip::managed_shared_memory::segment_manager;
  using String = bip::basic_string<char, std::char_traits<char>, bip::allocator<char, Segment>>;
  using Pair = std::pair<const String, Value<kBytes>>;
  using Map = boost::unordered_map<String, Value<kBytes>, boost::hash<String>, std::equal_to<String>,
                                   bip::allocator<Pair, Segment>>;

 public:
  explicit Boost(size_t keys)
      : name_(absl::StrCat("ko-benchmark-", ::getpid())),
        removed_(bip::shared_memory_object::remove(name_.c_str())),
        memory_(bip::create_only, name_.c_str(), keys * (kBytes + 200) + (1 << 16)),
        mutex_(memory_.construct<bip::interprocess_mutex>(bip::anonymous_instance)()),
        map_(memory_.construct<Map>(bip::anonymous_instance)(
            keys, boost::hash<String>(), std::equal_to<String>(), memory_.get_allocator<Pair>())) {
    bip::shared_memory_object::remove(name_.c_str());  // whatever ends the benchmark, nothing is left
  }
  void Set(const std::string& key, const Value<kBytes>& value) {
    const bip::scoped_lock<bip::interprocess_mutex> lock(*mutex_);
    map_->insert_or_assign(String(key.data(), key.size(), memory_.get_segment_manager()), value);
  }
  uint64_t Get(const std::string& key) {
    const bip::scoped_lock<bip::interprocess_mutex> lock(*mutex_);
    const Value<kBytes> value =
        map_->find(String(key.data(), key.size(), memory_.get_segment_manager()))->second;
    return value.words[kBytes / 8 - 1];
  }

 private:
  const std::string name_;
  bool removed_;
  bip::managed_shared_memory memory_;
  bip::interprocess_mutex* mutex_;
  Map* map_;
};
#endif

#ifdef KO_HAS_LMDB
// The library's function of that name and type. It is loaded at run time, so that building needs no more than its header.
template <class Function>
Function* LmdbFunction(const char* name) {
  static void* const library = ::dlopen("liblmdb.so.0", RTLD_NOW | RTLD_LOCAL);
  return library != nullptr ? reinterpret_cast<Function*>(::dlsym(library, name)) : nullptr;
}

struct LmdbLibrary {
  decltype(::mdb_version)* version = LmdbFunction<decltype(::mdb_version)>("mdb_version");
  decltype(::mdb_env_create)* env_create = LmdbFunction<decltype(::mdb_env_create)>("mdb_env_create");
  decltype(::mdb_env_set_mapsize)* env_set_mapsize =
      LmdbFunction<decltype(::mdb_env_set_mapsize)>("mdb_env_set_mapsize");
  decltype(::mdb_env_open)* env_open = LmdbFunction<decltype(::mdb_env_open)>("mdb_env_open");
  decltype(::mdb_env_close)* env_close = LmdbFunction<decltype(::mdb_env_close)>("mdb_env_close");
  decltype(::mdb_txn_begin)* txn_begin = LmdbFunction<decltype(::mdb_txn_begin)>("mdb_txn_begin");
  decltype(::mdb_txn_commit)* txn_commit = LmdbFunction<decltype(::mdb_txn_commit)>("mdb_txn_commit");
  decltype(::mdb_txn_abort)* txn_abort = LmdbFunction<decltype(::mdb_txn_abort)>("mdb_txn_abort");
  decltype(::mdb_txn_reset)* txn_reset = LmdbFunction<decltype(::mdb_txn_reset)>("mdb_txn_reset");
  decltype(::mdb_txn_renew)* txn_renew = LmdbFunction<decltype(::mdb_txn_renew)>("mdb_txn_renew");
  decltype(::mdb_dbi_open)* dbi_open = LmdbFunction<decltype(::mdb_dbi_open)>("mdb_dbi_open");
  decltype(::mdb_get)* get = LmdbFunction<decltype(::mdb_get)>("mdb_get");
  decltype(::mdb_put)* put = LmdbFunction<decltype(::mdb_put)>("mdb_put");
};

const LmdbLibrary& Lmdb() {
  static const LmdbLibrary library;
  return library;
}

template <size_t kBytes>
class LmdbMap {
 public:
  explicit LmdbMap(size_t keys) {
    std::string folder = "/dev/shm/ko-benchmark-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) std::abort();
    Check(Lmdb().env_create(&environment_));
    Check(Lmdb().env_set_mapsize(environment_, 4 * keys * (kBytes + 200) + (16 << 20)));
    Check(Lmdb().env_open(environment_, folder.c_str(), MDB_NOSYNC | MDB_WRITEMAP, 0600));
    for (const char* const file : {"/data.mdb", "/lock.mdb"}) ::unlink((folder + file).c_str());
    ::rmdir(folder.c_str());  // whatever ends the benchmark, nothing is left
    MDB_txn* transaction;
    Check(Lmdb().txn_begin(environment_, nullptr, 0, &transaction));
    Check(Lmdb().dbi_open(transaction, nullptr, 0, &database_));
    Check(Lmdb().txn_commit(transaction));
    Check(Lmdb().txn_begin(environment_, nullptr, MDB_RDONLY, &reader_));
    Lmdb().txn_reset(reader_);
  }
  LmdbMap(const LmdbMap&) = delete;
  ~LmdbMap() {
    Lmdb().txn_abort(reader_);
    Lmdb().env_close(environment_);
  }
  void Set(const std::string& key, const Value<kBytes>& value) {
    MDB_txn* transaction;
    Check(Lmdb().txn_begin(environment_, nullptr, 0, &transaction));
    MDB_val name = {key.size(), const_cast<char*>(key.data())};
    MDB_val data = {sizeof(value), const_cast<Value<kBytes>*>(&value)};
    Check(Lmdb().put(transaction, database_, &name, &data, 0));
    Check(Lmdb().txn_commit(transaction));
  }
  uint64_t Get(const std::string& key) {
    Check(Lmdb().txn_renew(reader_));
    MDB_val name = {key.size(), const_cast<char*>(key.data())};
    MDB_val data;
    Check(Lmdb().get(reader_, database_, &name, &data));
    Value<kBytes> value;
    std::memcpy(&value, data.mv_data, sizeof(value));
    Lmdb().txn_reset(reader_);
    return value.words[kBytes / 8 - 1];
  }

 private:
  static void Check(int error) {
    if (error != 0) std::abort();
  }
  MDB_env* environment_ = nullptr;
  MDB_dbi database_ = 0;
  MDB_txn* reader_ = nullptr;
};
#endif

// The keys in the order in which they are asked for.
class Keys {
 public:
  explicit Keys(size_t count) {
    for (size_t i = 0; i < count; ++i) keys_.push_back(absl::StrCat("key:", i));
    std::minstd_rand random(1);
    for (uint32_t& index : order_) index = random() % count;
  }
  const std::vector<std::string>& all() const { return keys_; }
  const std::string& Next() { return keys_[order_[next_++ % kOrder]]; }

 private:
  static constexpr size_t kOrder = 1 << 16;
  std::vector<std::string> keys_;
  std::vector<uint32_t> order_ = std::vector<uint32_t>(kOrder);
  size_t next_ = 0;
};

template <class Map, size_t kBytes>
struct Subject {
  explicit Subject(size_t count) : keys(count), map(count) {
    Value<kBytes> one;
    std::fill(std::begin(one.words), std::end(one.words), 1);
    for (const std::string& key : keys.all()) map.Set(key, one);
  }
  Keys keys;
  Map map;
};

template <class Map, size_t kBytes>
void MapGet(benchmark::State& state) {
  Subject<Map, kBytes> subject(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(subject.map.Get(subject.keys.Next()));
  for (const std::string& key : subject.keys.all()) {
    if (subject.map.Get(key) != 1) state.SkipWithError("a value is not what was written");
  }
}

template <class Map, size_t kBytes>
void MapSet(benchmark::State& state) {
  Subject<Map, kBytes> subject(state.range(0));
  Value<kBytes> value = {};
  for (auto _ : state) {
    ++value.words[kBytes / 8 - 1];
    subject.map.Set(subject.keys.Next(), value);
  }
  const std::string& last = subject.keys.Next();
  subject.map.Set(last, value);
  if (subject.map.Get(last) != value.words[kBytes / 8 - 1]) state.SkipWithError("a value was not written");
}

template <class Map, size_t kBytes>
void MapGetBesideWriter(benchmark::State& state) {
  Subject<Map, kBytes> subject(state.range(0));
  Value<kBytes> value = {};
  const Beside writer([&] {
    ++value.words[0];
    subject.map.Set(subject.keys.Next(), value);
  });
  for (auto _ : state) benchmark::DoNotOptimize(subject.map.Get(subject.keys.Next()));
}

template <class Map, size_t kBytes>
void MapSetBesideReader(benchmark::State& state) {
  Subject<Map, kBytes> subject(state.range(0));
  const Beside reader([&] { benchmark::DoNotOptimize(subject.map.Get(subject.keys.Next())); });
  Value<kBytes> value = {};
  for (auto _ : state) {
    ++value.words[0];
    subject.map.Set(subject.keys.Next(), value);
  }
}

template <template <size_t> class Map, size_t kBytes>
void Register(const std::string& contender, bool shared) {
  const auto add = [&](const char* subject, auto* run, std::initializer_list<int> keys) {
    auto* const benchmark = benchmark::RegisterBenchmark(absl::StrCat(subject, "/", contender).c_str(), run);
    benchmark->ArgNames({"keys", "bytes"})->UseRealTime();
    for (const int count : keys) benchmark->Args({count, static_cast<int>(kBytes)});
  };
  add("MapGet", &MapGet<Map<kBytes>, kBytes>, {10, 1000, 100'000});
  add("MapSet", &MapSet<Map<kBytes>, kBytes>, {10, 1000, 100'000});
  if (!shared) return;
  add("MapGetBesideWriter", &MapGetBesideWriter<Map<kBytes>, kBytes>, {10, 1000});
  add("MapSetBesideReader", &MapSetBesideReader<Map<kBytes>, kBytes>, {10, 1000});
}

template <template <size_t> class Map>
void RegisterAll(const std::string& contender, bool shared) {
  Register<Map, 8>(contender, shared);
  Register<Map, 64>(contender, shared);
  Register<Map, 1024>(contender, shared);
}

const bool registered = [] {
  RegisterAll<Ko>("ko", true);
  RegisterAll<FlatHashMap>("flat_hash_map", false);
#ifdef KO_HAS_BOOST
  benchmark::AddCustomContext("Boost", BOOST_LIB_VERSION);
  RegisterAll<Boost>("boost", true);
#endif
#ifdef KO_HAS_LMDB
  if (Lmdb().version != nullptr) {
    benchmark::AddCustomContext("LMDB", Lmdb().version(nullptr, nullptr, nullptr));
    // Alone: an environment belongs to the process that opened it, and is not used after a fork.
    RegisterAll<LmdbMap>("lmdb", false);
  }
#endif
  return true;
}();

}  // namespace
