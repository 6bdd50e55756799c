#ifndef KO_DEMOS_PARALLEL_MAP_DIGEST_H_
#define KO_DEMOS_PARALLEL_MAP_DIGEST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ko::demos {

struct Digest {
  uint32_t crc32c = 0;
  uint64_t lines = 0;
  uint64_t words = 0;
  uint64_t bytes = 0;
};

// Of a file's content; lines and words as wc(1) counts them in the C locale. Where `crash` is set the process kills itself
// in the middle of the work. Errors: as open(2) and read(2).
absl::StatusOr<Digest> DigestFile(const std::string& path, bool crash);

}  // namespace ko::demos

#endif  // KO_DEMOS_PARALLEL_MAP_DIGEST_H_
