#ifndef KO_DEMOS_WORKERS_MESSAGES_H_
#define KO_DEMOS_WORKERS_MESSAGES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ko::demos {

// What travels through the queues, as bytes: a header of fixed size, then text. Little-endian.

// A file to be worked on.
struct JobMessage {
  uint32_t id;  // its place in the list of files
  uint32_t
      failures;  // how many times the job itself has failed; being redelivered because a worker died is none
  std::string path;

  std::string Encode() const;
  static std::optional<JobMessage> Decode(std::string_view bytes);
};

// What became of it. A job may be done twice (at-least-once), with the same result.
struct ResultMessage {
  std::string path;  // of the file: numbers are one publisher's own, and a broker's queue may have many
  bool ok;
  std::string text;  // what goes to --out, or why it failed

  std::string Encode() const;
  static std::optional<ResultMessage> Decode(std::string_view bytes);
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_MESSAGES_H_
