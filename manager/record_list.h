#ifndef KO_MANAGER_RECORD_LIST_H_
#define KO_MANAGER_RECORD_LIST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ko {

struct ProcessRecord;

// The records of a manager, in the order of their ids. They lie close together, in memory of their own: one that leaves writes
// to a page that others have written to since the last fork, as a rule, where a tree's node would have to be copied.
//
// Threads: one at a time. Fork: a child's copy is its own. Signals: none. Crash: none. Errors: none.
class RecordList {
 public:
  using RecordPtr = std::shared_ptr<ProcessRecord>;

  // Its id is greater than those of all that there were.
  void Add(uint64_t id, RecordPtr record);
  // Nothing happens where it is not there. Takes a time that is logarithmic, amortized.
  void Remove(uint64_t id);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::vector<RecordPtr> NewestFirst() const;

 private:
  struct Entry {
    uint64_t id;
    RecordPtr record;  // null: it has been removed
  };
  void DropRemoved();

  std::vector<Entry> entries_;  // the last one has not been removed
  size_t size_ = 0;             // of those that have not
};

}  // namespace ko

#endif  // KO_MANAGER_RECORD_LIST_H_
