#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "ko/ipc/fuzz_damage.h"
#include "ko/ipc/memory_segment.h"
#include "ko/ipc/shared_memory.h"
#include "ko/ipc/shared_memory_test_peer.h"
#include "ko/os/robust_list.h"

// Each call there is, on a map that somebody has overwritten: values or statuses.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::StatusOr<ko::SharedMemory> memory = ko::SharedMemory::Create(4096);
  if (!memory.ok()) std::abort();
  const std::string long_key = "a key that is too long for its node";
  memory->Set("n", 1).IgnoreError();
  memory->Set(long_key, std::string(100, 'x')).IgnoreError();
  memory->Set("gone", 2).IgnoreError();
  memory->Erase("gone").IgnoreError();
  const ko::MemorySegment& segment = ko::SharedMemoryTestPeer::Segment(*memory);
  ko::Damage(segment.header, segment.geometry.segment_bytes,
             {{offsetof(ko::MemoryHeader, lock), sizeof(ko::os::RobustFutex)}}, data, size);
  for (const std::string& key : {std::string("n"), long_key, std::string("new")}) {
    memory->Get<int>(key).status().IgnoreError();
    memory->Get<std::string>(key).status().IgnoreError();
    memory->Set(key, std::string(size % 300, 'y')).IgnoreError();
    memory->Increment<int>(key, 1).status().IgnoreError();
    memory->Erase(key).IgnoreError();
  }
  memory->Keys();
  memory->size();
  memory->used_bytes();
  memory->Clear().IgnoreError();
  memory->Set("last", 1).IgnoreError();
  return 0;
}
