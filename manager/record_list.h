#ifndef KO_MANAGER_RECORD_LIST_H_
#define KO_MANAGER_RECORD_LIST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace ko {

struct ProcessRecord;

// The records of a manager, in the order of their ids. One that leaves writes to itself and to a bit, since what it writes to
// after a fork has to be copied: the bits of thousands lie in one page.
//
// Threads: one at a time. Fork: a child's copy is its own. Signals: none. Crash: none. Errors: none.
class RecordList {
 public:
  using RecordPtr = std::shared_ptr<ProcessRecord>;

  RecordList() = default;
  RecordList(RecordList&& other) noexcept : RecordList() { *this = std::move(other); }
  RecordList& operator=(RecordList&& other) noexcept;
  ~RecordList() { LetGo(); }

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
    ProcessRecord* record;  // which holds itself
  };
  void LetGo();
  void DropRemoved();

  std::vector<Entry> entries_;  // the last one has not been removed
  std::vector<bool> removed_;   // of each entry, whether it has been
  size_t size_ = 0;             // of those that have not
};

}  // namespace ko

#endif  // KO_MANAGER_RECORD_LIST_H_
