#ifndef KO_IPC_MEMORY_KEY_H_
#define KO_IPC_MEMORY_KEY_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ko {

// A key as the map looks it up: its bytes, their hash, and the first 16 of them as two words, 0 behind the end.
//
// The hash is the same in every program, because named memory is shared by programs that were built differently. It
// multiplies 64-bit words to 128 bits and folds the halves, as wyhash does (Wang Yi, https://github.com/wangyi-fudan/wyhash,
// public domain); it is no defence against keys that were chosen to collide.
class MemoryKey {
 public:
  explicit MemoryKey(std::string_view bytes) : bytes_(bytes) {
    LoadWords(bytes_, first_);
    uint64_t hash = Fold(first_[0] ^ kSecret[0], first_[1] ^ kSecret[1] ^ bytes_.size());
    for (std::string_view rest = bytes_; rest.size() > 16;) {
      rest.remove_prefix(16);
      uint64_t words[2];
      LoadWords(rest, words);
      hash = Fold(words[0] ^ kSecret[0] ^ hash, words[1] ^ kSecret[1]);
    }
    hash_ = Fold(hash ^ kSecret[2], kSecret[1]);
  }

  std::string_view bytes() const { return bytes_; }
  uint64_t hash() const { return hash_; }
  uint64_t first(int word) const { return first_[word]; }

 private:
  static_assert(std::endian::native == std::endian::little, "a word's low byte is to be the first one");
  static constexpr uint64_t kSecret[] = {0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3};

  static uint64_t Fold(uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  template <class Word>
  static uint64_t Load(const char* from) {
    Word word;
    std::memcpy(&word, from, sizeof(word));
    return word;
  }
  static void LoadWords(std::string_view bytes, uint64_t (&words)[2]) {
    const char* const p = bytes.data();
    const size_t n = bytes.size();
    words[0] = words[1] = 0;
    if (n >= 16) {
      words[0] = Load<uint64_t>(p);
      words[1] = Load<uint64_t>(p + 8);
    } else if (n >= 8) {
      words[0] = Load<uint64_t>(p);
      if (n > 8) words[1] = Load<uint64_t>(p + n - 8) >> (8 * (16 - n));
    } else if (n >= 4) {
      words[0] = Load<uint32_t>(p) | Load<uint32_t>(p + n - 4) << (8 * (n - 4));
    } else if (n > 0) {
      words[0] = Load<uint8_t>(p) | Load<uint8_t>(p + n / 2) << (8 * (n / 2)) |
                 Load<uint8_t>(p + n - 1) << (8 * (n - 1));
    }
  }

  std::string_view bytes_;
  uint64_t first_[2];
  uint64_t hash_;
};

}  // namespace ko

#endif  // KO_IPC_MEMORY_KEY_H_
