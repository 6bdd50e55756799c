#include "ko/ipc/channel_segment.h"

#include <bit>

#include "absl/strings/str_cat.h"

namespace ko {
namespace {

constexpr size_t kAlignment = 128;                // a pair of cache lines
constexpr size_t kMaxCapacity = size_t{1} << 22;  // as many turns as there are fit into positions of 64 bits
static_assert(kMaxCapacity == size_t{1} << (64 - kTurnBits));
constexpr size_t kMaxMessageBytes = size_t{1} << 30;
constexpr size_t kMaxCellsBytes = size_t{1} << 44;
constexpr int kMaxParticipants = 1 << 19;

static_assert(static_cast<uint32_t>(kMaxParticipants) < kNobody);
static_assert(sizeof(ChannelParticipant) == 320);
static_assert(sizeof(ChannelCell) == 16);
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);
static_assert(std::endian::native == std::endian::little, "sleepers watch the low half of a state word");

size_t Aligned(size_t bytes, size_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

size_t CellBytes(size_t bytes) {
  // Small cells share cache lines, which costs less than the lines that they would fill alone; large ones begin a line.
  return Aligned(bytes, bytes <= 128 ? 8 : 64);
}

}  // namespace

absl::StatusOr<ChannelGeometry> ChannelGeometry::Of(size_t capacity, size_t max_message_bytes,
                                                    bool byte_strings, int max_participants) {
  if (capacity == 0 || capacity > kMaxCapacity) {
    return absl::InvalidArgumentError(absl::StrCat("a channel's capacity of ", capacity, " messages"));
  }
  if ((max_message_bytes == 0 && !byte_strings) || max_message_bytes > kMaxMessageBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a channel's messages of ", max_message_bytes, " bytes"));
  }
  if (max_participants < 1 || max_participants > kMaxParticipants) {
    return absl::InvalidArgumentError(absl::StrCat("a channel's ", max_participants, " participants"));
  }
  ChannelGeometry geometry;
  geometry.capacity = std::bit_ceil(capacity);
  geometry.capacity_bits = std::countr_zero(geometry.capacity);
  geometry.participants = max_participants;
  geometry.max_message_bytes = max_message_bytes;
  geometry.byte_strings = byte_strings;
  geometry.cell_bytes = CellBytes(PayloadOffset(byte_strings) + Aligned(max_message_bytes, 8));
  if (geometry.cell_bytes > kMaxCellsBytes / geometry.capacity) {
    return absl::InvalidArgumentError(
        absl::StrCat("a channel of ", geometry.capacity, " messages of ", max_message_bytes, " bytes"));
  }
  geometry.participants_offset = Aligned(sizeof(ChannelHeader), kAlignment);
  geometry.cells_offset = geometry.participants_offset + geometry.participants * sizeof(ChannelParticipant);
  geometry.segment_bytes = geometry.cells_offset + geometry.capacity * geometry.cell_bytes;
  return geometry;
}

absl::StatusOr<ChannelGeometry> ChannelGeometry::OfHeader(const ChannelHeader& header, size_t message_bytes,
                                                          bool byte_strings) {
  constexpr auto kRelaxed = std::memory_order_relaxed;  // written before the segment had its name
  const uint64_t max_message_bytes = header.max_message_bytes.load(kRelaxed);
  const uint64_t capacity = header.capacity.load(kRelaxed);
  const uint32_t participants = header.participants.load(kRelaxed);
  if (header.magic.load(kRelaxed) != ChannelHeader::kMagic ||
      header.version.load(kRelaxed) != ChannelHeader::kVersion) {
    return absl::DataLossError("the shared object is not a channel");
  }
  if (header.byte_strings.load(kRelaxed) != (byte_strings ? 1 : 0) ||
      (!byte_strings && max_message_bytes != message_bytes)) {
    return absl::InvalidArgumentError("the shared object is a channel of other messages");
  }
  if (!std::has_single_bit(capacity) || participants > static_cast<uint32_t>(kMaxParticipants)) {
    return absl::DataLossError("the channel's shared memory has been overwritten: its sizes");
  }
  absl::StatusOr<ChannelGeometry> geometry =
      Of(capacity, max_message_bytes, byte_strings, static_cast<int>(participants));
  if (!geometry.ok()) {
    return absl::DataLossError(
        absl::StrCat("the channel's shared memory has been overwritten: ", geometry.status().message()));
  }
  return geometry;
}

ChannelSegment::ChannelSegment(void* data, const ChannelGeometry& geometry) : geometry(geometry) {
  char* const base = static_cast<char*>(data);
  header = reinterpret_cast<ChannelHeader*>(base);
  participants = reinterpret_cast<ChannelParticipant*>(base + geometry.participants_offset);
  cells = base + geometry.cells_offset;
}

void ChannelSegment::Initialize() const {
  header->magic = ChannelHeader::kMagic;
  header->version = ChannelHeader::kVersion;
  header->participants = geometry.participants;
  header->capacity = geometry.capacity;
  header->max_message_bytes = geometry.max_message_bytes;
  header->byte_strings = geometry.byte_strings ? 1 : 0;
}

}  // namespace ko
