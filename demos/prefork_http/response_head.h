#ifndef KO_DEMOS_PREFORK_HTTP_RESPONSE_HEAD_H_
#define KO_DEMOS_PREFORK_HTTP_RESPONSE_HEAD_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace ko::demos {

struct ResponseHead {
  int status = 200;
  std::string_view content_type = "text/plain";
  int64_t content_bytes = 0;
  bool keep_alive = false;  // else "Connection: close"
  absl::Time date = absl::UnixEpoch();
};

// The head as it is sent. Pure.
std::string WriteResponseHead(const ResponseHead& head);

// "Not Found" for 404.
std::string_view ReasonPhrase(int status);

// By the extension of the file's name, of whatever case; bytes where it says nothing.
std::string_view ContentType(std::string_view path);

}  // namespace ko::demos

#endif  // KO_DEMOS_PREFORK_HTTP_RESPONSE_HEAD_H_
