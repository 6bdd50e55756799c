#ifndef KO_MANAGER_SUPERVISOR_TOKENS_H_
#define KO_MANAGER_SUPERVISOR_TOKENS_H_

#include <sys/epoll.h>

#include <cstdint>

#include "ko/manager/command_output.h"

namespace ko {

// What a Supervisor's epoll calls its members.
inline constexpr uint64_t kSignalsToken = 0;
inline constexpr uint64_t kTimerToken = 1;
inline constexpr uint64_t kBellToken = 2;
inline constexpr uint64_t kNotifyToken = 3;
// Greater ones are attempts.
inline constexpr uint64_t kFirstAttemptToken = 16;
// An attempt's end is told once, and its pidfd is as good as removed then: what is left goes with the last copy of it.
inline constexpr uint32_t kEndEvents = EPOLLIN | EPOLLONESHOT;
// An attempt's with one of these is its command's standard output or error.
inline constexpr uint64_t kOutputTokens[CommandOutput::kStreams] = {uint64_t{1} << 62, uint64_t{1} << 63};

}  // namespace ko

#endif  // KO_MANAGER_SUPERVISOR_TOKENS_H_
