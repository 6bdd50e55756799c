#ifndef KO_PROCESS_OUTPUT_TAIL_H_
#define KO_PROCESS_OUTPUT_TAIL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ko {

// The last bytes of an output, in a ring of a fixed size. Pure: no descriptor, no clock.
//
// Threads: as a std::string. Fork: copied. Signals: none. Crash: none. Errors: none.
class OutputTail {
 public:
  // Keeps the last `capacity_bytes`; room is taken as output comes.
  explicit OutputTail(size_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  void Append(std::string_view output);
  void Clear();

  // What is kept, oldest first.
  std::string Text() const;
  // Its last `count` lines, without their newlines; a last one that is unfinished counts. The first may lack
  // its beginning, where that was dropped.
  std::vector<std::string> LastLines(size_t count) const;

  size_t size_bytes() const { return ring_.size(); }
  uint64_t total_bytes() const { return total_bytes_; }  // dropped ones, too

 private:
  size_t capacity_bytes_;
  std::string ring_;
  size_t begin_ = 0;  // of the oldest byte; 0 until the ring is full
  uint64_t total_bytes_ = 0;
};

}  // namespace ko

#endif  // KO_PROCESS_OUTPUT_TAIL_H_
