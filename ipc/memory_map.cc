#include "ko/ipc/memory_map.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ko/os/robust_list.h"
#include "ko/os/robust_lock.h"

namespace ko {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// How often a reader tries while others write. Then it takes the lock, because they could go on for ever.
constexpr int kAttempts = 200;

// After the store by which a change takes effect, and before anything that it has freed is used again. Release: pairs with
// the acquire fence of a reader, which then finds the word it has noted changed.
void AfterCommit() { std::atomic_thread_fence(std::memory_order_release); }
// Under the lock. Release: pairs with TryKeys, for the change that has just taken effect.
void CountChange(MemoryHeader& header) {
  header.changes.store(header.changes.load(kRelaxed) + 1, std::memory_order_release);
}
// Before a reader looks whether the words it has noted are the same still.
void BeforeCheck() { std::atomic_thread_fence(std::memory_order_acquire); }

std::string Quoted(std::string_view key) {
  constexpr size_t kShown = 60;
  return absl::StrCat("\"", absl::CHexEscape(key.substr(0, kShown)), key.size() > kShown ? "...\"" : "\"");
}

std::string_view BehindNode(const MemoryKey& key) {
  return key.bytes().substr(std::min(key.bytes().size(), kNodeKeyBytes));
}

uint32_t NodeBlocks(size_t key_bytes) {
  return 1 + MemoryBlocks::CountFor(key_bytes - std::min(key_bytes, kNodeKeyBytes));
}

uint64_t CurrentWord(const MemoryNode& node) {
  return node.values[node.version.load(kRelaxed) & 1].load(kRelaxed);
}

}  // namespace

class MemoryMap::Hold {
 public:
  explicit Hold(const MemoryMap& map) : map_(map) {
    if (map.IsHeld()) return;
    release_ = os::TryAcquireFreeRobustLock(map.segment_.header->lock);
    if (release_ && map.segment_.header->state.load(kRelaxed) == 0) return;
    if (release_) map.Release(HoldKind::kShort);
    status_ = map.Acquire(HoldKind::kShort, os::Deadline::After(absl::InfiniteDuration()));
    release_ = status_.ok();
  }
  Hold(const Hold&) = delete;
  ~Hold() {
    if (release_) map_.Release(HoldKind::kShort);
  }
  const absl::Status& status() const { return status_; }

 private:
  const MemoryMap& map_;
  absl::Status status_;
  bool release_ = false;
};

MemoryMap::~MemoryMap() {
  if (IsHeld()) {
    Release(HoldKind::kKept);
  } else if (os::RobustThread* const thread = os::FindRobustThread()) {
    // Its word may have been overwritten, and the thread's list must not lead through memory that is gone.
    os::UnlinkRobustFutex(*thread, segment_.header->lock);
  }
}

bool MemoryMap::IsHeld() const { return os::HoldsRobustLock(segment_.header->lock); }

absl::Status MemoryMap::Acquire(HoldKind kind, const os::Deadline& deadline) const {
  os::RobustFutex& lock = segment_.header->lock;
  const absl::StatusOr<os::RobustLockState> state = os::AcquireRobustLock(lock, deadline);
  if (!state.ok()) return state.status();
  absl::Cleanup release = [&lock] {
    os::ReleaseRobustLock(lock);
  };  // also where there is no memory to repair with
  absl::Status status;
  std::atomic<uint32_t>& flags = segment_.header->state;
  if (*state == os::RobustLockState::kHolderDied) flags.fetch_or(kMemoryUnfinished, kRelaxed);
  if ((flags.load(kRelaxed) & kMemoryDamaged) != 0) {
    status = segment_.Damaged("found before");
  } else if ((flags.load(kRelaxed) & kMemoryUnfinished) != 0) {
    status = Repair();
  }
  if (status.ok() && kind == HoldKind::kKept) status = os::KeepRobustLock(lock);
  if (status.ok()) std::move(release).Cancel();
  return status;
}

void MemoryMap::Release(HoldKind kind) const {
  if (kind == HoldKind::kKept) {
    os::ReleaseKeptRobustLock(segment_.header->lock);
  } else {
    os::ReleaseRobustLock(segment_.header->lock);
  }
}

absl::Status MemoryMap::Settle() const { return Hold(*this).status(); }

inline bool MemoryMap::IsNodeOf(const MemoryNode& node, uint32_t number, const MemoryKey& key) const {
  const size_t bytes = key.bytes().size();
  return node.hash.load(kRelaxed) == static_cast<uint32_t>(key.hash() >> 32) &&
         node.key_bytes.load(kRelaxed) == bytes && node.key[0].load(kRelaxed) == key.first(0) &&
         node.key[1].load(kRelaxed) == key.first(1) &&
         (bytes <= kNodeKeyBytes || blocks_.Equal(segment_.Link(number).load(kRelaxed), BehindNode(key)));
}

// False where somebody wrote meanwhile; then `found` means nothing.
inline bool MemoryMap::TryRead(const MemoryKey& key, MemoryValue& value, Place place, Found& found) const {
  const uint32_t bucket = BucketOf(key);
  // Acquire: pairs with the release in CountVersion; below, with that of each commit, for what it leads to.
  const std::atomic<uint64_t>& bucket_version = segment_.Version(bucket);
  const uint64_t version_before = bucket_version.load(std::memory_order_acquire);
  const auto is_unchanged = [&] {
    BeforeCheck();
    return bucket_version.load(kRelaxed) == version_before &&
           (segment_.header->state.load(kRelaxed) & kMemoryStopsReaders) == 0;
  };

  uint32_t number = segment_.buckets[bucket].load(std::memory_order_acquire);
  for (uint32_t steps = 0; number != 0; ++steps) {
    found = Found::kDamaged;
    if (!segment_.IsBlock(number) || steps > segment_.geometry.blocks) return is_unchanged();
    const MemoryNode& node = segment_.Node(number);
    if (!IsNodeOf(node, number, key)) {
      number = node.next.load(std::memory_order_acquire);
      if (steps % 64 == 63 && !is_unchanged()) return false;  // the way may lead in a circle
      continue;
    }
    const uint64_t version = node.version.load(std::memory_order_acquire);
    const uint64_t word = node.values[version & 1].load(kRelaxed);
    const auto is_current = [&] {
      BeforeCheck();
      return node.version.load(kRelaxed) == version;
    };
    value.tag = node.tag.load(kRelaxed);
    value.word = word;
    if ((value.tag & kInBlocks) != 0) {
      const size_t bytes = ExtentBytes(word);
      // Before memory is asked for.
      if (!is_current() || !is_unchanged()) return false;
      if (bytes > capacity_bytes()) return true;
      char* const destination = place(value.tag, bytes);
      if (destination != nullptr && !blocks_.Read(ExtentBlock(word), destination, bytes)) {
        return is_current() && is_unchanged();
      }
    }
    if (!is_current() || !is_unchanged()) return false;
    found = Found::kYes;
    return true;
  }
  found = Found::kNo;
  return is_unchanged();
}

MemoryMap::Found MemoryMap::Read(const MemoryKey& key, MemoryValue& value, Place place) const {
  Found found;
  for (int i = 0; i < kAttempts; ++i) {
    if (TryRead(key, value, place, found)) return found;
    if ((segment_.header->state.load(kRelaxed) & kMemoryStopsReaders) != 0) break;
  }
  const Hold hold(*this);
  if (!hold.status().ok()) return Found::kDamaged;
  return TryRead(key, value, place, found) ? found : Found::kDamaged;
}

absl::StatusOr<MemoryMap::Position> MemoryMap::FindLocked(const MemoryKey& key) const {
  Position position;
  uint32_t number = segment_.buckets[BucketOf(key)].load(kRelaxed);
  for (uint32_t steps = 0; number != 0; ++steps) {
    if (!segment_.IsBlock(number) || steps > segment_.geometry.blocks) return segment_.Damaged("a bucket");
    const MemoryNode& node = segment_.Node(number);
    if (IsNodeOf(node, number, key)) {
      position.node = number;
      return position;
    }
    position.before = number;
    number = node.next.load(kRelaxed);
  }
  return Position();
}

absl::Status MemoryMap::CheckRoom(uint32_t blocks, const MemoryKey& key, const MemoryValue& value) const {
  if (blocks <= blocks_.free()) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "SharedMemory: no room for ", value.bytes.size(), " bytes under ", Quoted(key.bytes()), ": ",
      size_t{blocks_.free()} * kMemoryBlockBytes, " bytes of ", capacity_bytes(), " are free"));
}

absl::Status MemoryMap::SetInPlace(MemoryNode& node, const MemoryValue& value) {
  const uint64_t version = node.version.load(kRelaxed);
  const uint64_t old_word = node.values[version & 1].load(kRelaxed);
  uint64_t word = value.word;
  const bool in_blocks = (value.tag & kInBlocks) != 0;
  if (in_blocks) {
    absl::StatusOr<uint32_t> first = blocks_.Take(MemoryBlocks::CountFor(value.bytes.size()));
    if (!first.ok()) return first.status();
    blocks_.Write(*first, value.bytes);
    word = PackExtent(static_cast<uint32_t>(value.bytes.size()), *first);
  }
  node.values[(version + 1) & 1].store(word, kRelaxed);
  node.version.store(version + 1, std::memory_order_release);  // the commit: pairs with TryRead
  AfterCommit();
  if (!in_blocks) return absl::OkStatus();
  return blocks_.Give(ExtentBlock(old_word), MemoryBlocks::CountFor(ExtentBytes(old_word)));
}

absl::StatusOr<uint32_t> MemoryMap::MakeNode(const MemoryKey& key, const MemoryValue& value,
                                             uint64_t sequence, uint32_t next) {
  absl::StatusOr<uint32_t> number = blocks_.Take(NodeBlocks(key.bytes().size()));
  if (!number.ok()) return number.status();
  uint64_t word = value.word;
  if ((value.tag & kInBlocks) != 0) {
    absl::StatusOr<uint32_t> first = blocks_.Take(MemoryBlocks::CountFor(value.bytes.size()));
    if (!first.ok()) return first.status();
    blocks_.Write(*first, value.bytes);
    word = PackExtent(static_cast<uint32_t>(value.bytes.size()), *first);
  }
  MemoryNode& node = segment_.Node(*number);
  node.version.store(0, kRelaxed);
  node.values[0].store(word, kRelaxed);
  node.tag.store(value.tag, kRelaxed);
  node.next.store(next, kRelaxed);
  node.key_bytes.store(static_cast<uint32_t>(key.bytes().size()), kRelaxed);
  node.hash.store(static_cast<uint32_t>(key.hash() >> 32), kRelaxed);
  node.sequence.store(sequence, kRelaxed);
  node.key[0].store(key.first(0), kRelaxed);
  node.key[1].store(key.first(1), kRelaxed);
  if (key.bytes().size() > kNodeKeyBytes)
    blocks_.Write(segment_.Link(*number).load(kRelaxed), BehindNode(key));
  return number;
}

void MemoryMap::Commit(uint32_t bucket, const Position& position, uint32_t next) {
  std::atomic<uint32_t>& place =
      position.before != 0 ? segment_.Node(position.before).next : segment_.buckets[bucket];
  place.store(next, std::memory_order_release);  // pairs with TryRead
}

void MemoryMap::CountVersion(uint32_t bucket) const {
  std::atomic<uint64_t>& version = segment_.Version(bucket);
  version.store(version.load(kRelaxed) + 1, std::memory_order_release);  // pairs with TryRead
  AfterCommit();
}

absl::Status MemoryMap::GiveNode(uint32_t number) {
  const MemoryNode& node = segment_.Node(number);
  const uint64_t word = CurrentWord(node);
  const bool in_blocks = (node.tag.load(kRelaxed) & kInBlocks) != 0;
  const uint32_t node_blocks = NodeBlocks(node.key_bytes.load(kRelaxed));
  if (in_blocks) {
    const uint32_t blocks = MemoryBlocks::CountFor(ExtentBytes(word));
    if (absl::Status status = blocks_.Give(ExtentBlock(word), blocks); !status.ok()) return status;
  }
  return blocks_.Give(number, node_blocks);
}

absl::Status MemoryMap::Set(const MemoryKey& key, const MemoryValue& value) {
  if (key.bytes().size() > capacity_bytes() || value.bytes.size() > UINT32_MAX ||
      value.bytes.size() > capacity_bytes()) {
    return absl::ResourceExhaustedError(absl::StrCat("SharedMemory: ", value.bytes.size(), " bytes under ",
                                                     Quoted(key.bytes()), " do not fit into ",
                                                     capacity_bytes()));
  }
  const Hold hold(*this);
  if (!hold.status().ok()) return hold.status();
  const absl::StatusOr<Position> position = FindLocked(key);
  if (!position.ok()) return position.status();

  MemoryNode* const old = position->node != 0 ? &segment_.Node(position->node) : nullptr;
  const uint32_t value_blocks = (value.tag & kInBlocks) != 0 ? MemoryBlocks::CountFor(value.bytes.size()) : 0;
  const bool in_place = old != nullptr && old->tag.load(kRelaxed) == value.tag;
  const uint32_t blocks = value_blocks + (in_place ? 0 : NodeBlocks(key.bytes().size()));
  if (absl::Status status = CheckRoom(blocks, key, value); !status.ok()) return status;
  if (in_place) return SetInPlace(*old, value);

  // A value of another type takes the old node's place with a new one; a new key comes first in its bucket.
  MemoryHeader& header = *segment_.header;
  const uint64_t sequence =
      old != nullptr ? old->sequence.load(kRelaxed) : header.next_sequence.load(kRelaxed);
  const uint32_t bucket = BucketOf(key);
  const uint32_t next = old != nullptr ? old->next.load(kRelaxed) : segment_.buckets[bucket].load(kRelaxed);
  if (old == nullptr) header.next_sequence.store(sequence + 1, kRelaxed);
  const absl::StatusOr<uint32_t> made = MakeNode(key, value, sequence, next);
  if (!made.ok()) return made.status();
  if (old != nullptr) {
    Commit(bucket, *position, *made);
    CountVersion(bucket);
    return GiveNode(position->node);
  }
  Commit(bucket, Position(), *made);
  header.nodes.store(header.nodes.load(kRelaxed) + 1, kRelaxed);
  CountChange(header);
  return absl::OkStatus();
}

absl::Status MemoryMap::Erase(const MemoryKey& key) {
  const Hold hold(*this);
  if (!hold.status().ok()) return hold.status();
  const absl::StatusOr<Position> position = FindLocked(key);
  if (!position.ok()) return position.status();
  if (position->node == 0)
    return absl::NotFoundError(absl::StrCat("SharedMemory: no key ", Quoted(key.bytes())));
  MemoryHeader& header = *segment_.header;
  const uint32_t bucket = BucketOf(key);
  Commit(bucket, *position, segment_.Node(position->node).next.load(kRelaxed));
  CountVersion(bucket);
  header.nodes.store(header.nodes.load(kRelaxed) - 1, kRelaxed);
  CountChange(header);
  return GiveNode(position->node);
}

absl::Status MemoryMap::Clear() {
  const Hold hold(*this);
  if (!hold.status().ok()) return hold.status();
  segment_.header->state.fetch_or(kMemoryClearing,
                                  std::memory_order_release);  // the commit: pairs with is_unchanged
  AfterCommit();
  FinishClear();
  return absl::OkStatus();
}

// From the commit of a Clear on, until nothing is left of what it cleared. Readers wait for that.
void MemoryMap::FinishClear() const {
  for (uint32_t i = 0; i < segment_.geometry.buckets; ++i) {
    if (segment_.buckets[i].load(kRelaxed) != 0) segment_.buckets[i].store(0, kRelaxed);
    if (i % kBucketsPerVersion == kBucketsPerVersion - 1) CountVersion(i);
  }
  MemoryHeader& header = *segment_.header;
  header.nodes.store(0, kRelaxed);
  header.free_block.store(0, kRelaxed);
  header.fresh_blocks.store(0, kRelaxed);
  header.taken_blocks.store(0, kRelaxed);
  CountChange(header);
  header.state.fetch_and(~kMemoryClearing, std::memory_order_release);  // pairs with is_unchanged and TryKeys
  AfterCommit();
}

absl::Status MemoryMap::MarkUsed(uint32_t bucket, std::vector<bool>& used, uint32_t& nodes) const {
  const auto mark = [&](uint32_t first, uint32_t count) {
    uint32_t number = first;
    for (uint32_t i = 0; i < count; ++i) {
      if (!segment_.IsBlock(number) || used[number - 1]) return false;
      used[number - 1] = true;
      number = segment_.Link(number).load(kRelaxed);
    }
    return true;
  };
  for (uint32_t number = segment_.buckets[bucket].load(kRelaxed); number != 0; ++nodes) {
    if (!segment_.IsBlock(number)) return segment_.Damaged("a bucket");
    const MemoryNode& node = segment_.Node(number);
    const uint64_t word = CurrentWord(node);
    const bool in_blocks = (node.tag.load(kRelaxed) & kInBlocks) != 0;
    if (!mark(number, NodeBlocks(node.key_bytes.load(kRelaxed))) ||
        (in_blocks && !mark(ExtentBlock(word), MemoryBlocks::CountFor(ExtentBytes(word))))) {
      return segment_.Damaged("a chain");
    }
    number = node.next.load(kRelaxed);
  }
  return absl::OkStatus();
}

// Somebody has died inside the lock. Every change has taken effect or not; what is derived is made again.
absl::Status MemoryMap::Repair() const {
  MemoryHeader& header = *segment_.header;
  if ((header.state.load(kRelaxed) & kMemoryClearing) != 0) FinishClear();
  std::vector<bool> used(segment_.geometry.blocks);
  uint32_t nodes = 0;
  for (uint32_t i = 0; i < segment_.geometry.buckets; ++i) {
    // The dead one may have led past a node without this.
    if (i % kBucketsPerVersion == 0) CountVersion(i);
    if (absl::Status status = MarkUsed(i, used, nodes); !status.ok()) return status;
  }
  blocks_.Rebuild(used);
  header.nodes.store(nodes, kRelaxed);
  CountChange(header);
  header.state.fetch_and(~kMemoryUnfinished, std::memory_order_release);  // the last of all
  return absl::OkStatus();
}

absl::StatusOr<size_t> MemoryMap::size() const {
  const MemoryHeader& header = *segment_.header;
  if ((header.lock.word.load(kRelaxed) & FUTEX_OWNER_DIED) != 0 || header.state.load(kRelaxed) != 0) {
    if (absl::Status status = Settle(); !status.ok()) return status;
  }
  return header.nodes.load(kRelaxed);
}

absl::StatusOr<size_t> MemoryMap::used_bytes() const {
  if (absl::StatusOr<size_t> settled = size(); !settled.ok()) return settled.status();
  return capacity_bytes() - size_t{blocks_.free()} * kMemoryBlockBytes;
}

// Appends a bucket's keys with their sequence numbers. False where somebody wrote meanwhile, or it is damaged.
bool MemoryMap::TryBucketKeys(uint32_t bucket, std::vector<std::pair<uint64_t, std::string>>& found) const {
  const uint64_t version = segment_.Version(bucket).load(std::memory_order_acquire);  // as in TryRead
  const size_t found_before = found.size();
  const auto is_unchanged = [&] {
    BeforeCheck();
    return segment_.Version(bucket).load(kRelaxed) == version;
  };
  uint32_t number = segment_.buckets[bucket].load(std::memory_order_acquire);
  for (uint32_t steps = 0; number != 0; ++steps) {
    if (!segment_.IsBlock(number) || steps > segment_.geometry.blocks) break;
    const MemoryNode& node = segment_.Node(number);
    const size_t bytes = node.key_bytes.load(kRelaxed);
    if (!is_unchanged() || bytes > capacity_bytes()) break;
    std::string key(std::max(bytes, kNodeKeyBytes), '\0');
    for (int i = 0; i < 2; ++i) {
      const uint64_t part = node.key[i].load(kRelaxed);
      std::memcpy(key.data() + 8 * i, &part, 8);
    }
    key.resize(bytes);
    if (bytes > kNodeKeyBytes && !blocks_.Read(segment_.Link(number).load(kRelaxed),
                                               key.data() + kNodeKeyBytes, bytes - kNodeKeyBytes)) {
      break;
    }
    found.emplace_back(node.sequence.load(kRelaxed), std::move(key));
    number = node.next.load(std::memory_order_acquire);
  }
  if (number == 0 && is_unchanged()) return true;
  found.resize(found_before);
  return false;
}

bool MemoryMap::TryKeys(std::vector<std::string>& keys) const {
  const MemoryHeader& header = *segment_.header;
  const uint64_t changes =
      header.changes.load(std::memory_order_acquire);  // pairs with Set, Erase and FinishClear
  std::vector<std::pair<uint64_t, std::string>> found;
  for (uint32_t i = 0; i < segment_.geometry.buckets; ++i) {
    if (!TryBucketKeys(i, found)) return false;
  }
  BeforeCheck();
  if (header.changes.load(kRelaxed) != changes || (header.state.load(kRelaxed) & kMemoryStopsReaders) != 0)
    return false;
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  keys.reserve(found.size());
  for (auto& [sequence, key] : found) keys.push_back(std::move(key));
  return true;
}

absl::StatusOr<std::vector<std::string>> MemoryMap::Keys() const {
  constexpr int kKeysAttempts = 4;
  std::vector<std::string> keys;
  for (int i = 0; i < kKeysAttempts; ++i) {
    if (TryKeys(keys)) return keys;
  }
  const Hold hold(*this);
  if (!hold.status().ok()) return hold.status();
  if (!TryKeys(keys)) return segment_.Damaged("a bucket");
  return keys;
}

}  // namespace ko
