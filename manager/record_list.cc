#include "ko/manager/record_list.h"

#include <algorithm>
#include <utility>

#include "ko/manager/process_record.h"

namespace ko {

RecordList& RecordList::operator=(RecordList&& other) noexcept {
  std::swap(entries_, other.entries_);
  std::swap(removed_, other.removed_);
  std::swap(size_, other.size_);
  if (this != &other) other.LetGo();
  return *this;
}

void RecordList::LetGo() {
  // What they have may call this.
  std::vector<RecordPtr> records = NewestFirst();
  entries_.clear();
  removed_.clear();
  size_ = 0;
  for (const RecordPtr& record : records) record->listed.reset();
}

void RecordList::Add(uint64_t id, RecordPtr record) {
  entries_.push_back({id, record.get()});
  removed_.push_back(false);
  ++size_;
  record->listed = std::move(record);
}

void RecordList::Remove(uint64_t id) {
  const auto entry = std::lower_bound(entries_.begin(), entries_.end(), id,
                                      [](const Entry& each, uint64_t id) { return each.id < id; });
  if (entry == entries_.end() || entry->id != id) return;
  std::vector<bool>::reference removed = removed_[static_cast<size_t>(entry - entries_.begin())];
  if (removed) return;
  removed = true;
  --size_;
  const RecordPtr last =
      std::move(entry->record->listed);  // it may be the last to have it, and what it has may call this
  DropRemoved();
}

// Where there are more of them than others, so that a removal costs a constant time on the average.
void RecordList::DropRemoved() {
  while (!entries_.empty() && removed_.back()) {
    entries_.pop_back();
    removed_.pop_back();
  }
  if (entries_.size() <= 2 * size_) return;
  size_t kept = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!removed_[i]) entries_[kept++] = entries_[i];
  }
  entries_.resize(kept);
  removed_.assign(kept, false);
}

std::vector<RecordList::RecordPtr> RecordList::NewestFirst() const {
  std::vector<RecordPtr> records;
  records.reserve(size_);
  for (size_t i = entries_.size(); i-- > 0;) {
    if (!removed_[i]) records.push_back(entries_[i].record->listed);
  }
  return records;
}

}  // namespace ko
