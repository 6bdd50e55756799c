#include "ko/manager/record_list.h"

#include <algorithm>
#include <utility>

namespace ko {

void RecordList::Add(uint64_t id, RecordPtr record) {
  entries_.push_back({id, std::move(record)});
  ++size_;
}

void RecordList::Remove(uint64_t id) {
  const auto entry = std::lower_bound(entries_.begin(), entries_.end(), id,
                                      [](const Entry& each, uint64_t id) { return each.id < id; });
  if (entry == entries_.end() || entry->id != id || entry->record == nullptr) return;
  const RecordPtr removed =
      std::move(entry->record);  // it may be the last to have it, and what it has may call this
  --size_;
  DropRemoved();
}

// Where there are more of them than others, so that a removal costs a constant time on the average.
void RecordList::DropRemoved() {
  const auto is_removed = [](const Entry& entry) { return entry.record == nullptr; };
  while (!entries_.empty() && is_removed(entries_.back())) entries_.pop_back();
  if (entries_.size() > 2 * size_) std::erase_if(entries_, is_removed);
}

std::vector<RecordList::RecordPtr> RecordList::NewestFirst() const {
  std::vector<RecordPtr> records;
  records.reserve(size_);
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->record != nullptr) records.push_back(entry->record);
  }
  return records;
}

}  // namespace ko
