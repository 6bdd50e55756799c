#ifndef KO_DEMOS_PREFORK_HTTP_REQUEST_HEAD_H_
#define KO_DEMOS_PREFORK_HTTP_REQUEST_HEAD_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace ko::demos {

// What a request asks for.
struct RequestHead {
  bool head_only = false;   // HEAD
  bool keep_alive = false;  // the client wants to send another one
  std::string path;         // decoded, without the first '/' and the query; no segment of it is ".."
};

// What the beginning of a connection's input is.
struct ParsedHead {
  static constexpr int kIncomplete = 0;
  static constexpr int kComplete = 200;

  int status =
      kIncomplete;        // else the status to answer with; after a bad one the input makes no sense any more
  size_t size_bytes = 0;  // of a complete head: what follows is the next one
  RequestHead request = {};
};

// Longer ones are answered with 414 and 431.
inline constexpr size_t kMaxRequestLineBytes = 8 << 10;
inline constexpr size_t kMaxHeadBytes = 16 << 10;

// Parses the head of an HTTP/1.1 or 1.0 request (RFC 9112) for a file: GET and HEAD without a body. Pure: called again with
// all of the input when more has come.
ParsedHead ParseRequestHead(std::string_view input);

}  // namespace ko::demos

#endif  // KO_DEMOS_PREFORK_HTTP_REQUEST_HEAD_H_
