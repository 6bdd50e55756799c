#include "demos/prefork_http/response_head.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ko::demos {

std::string WriteResponseHead(const ResponseHead& head) {
  return absl::StrCat(
      "HTTP/1.1 ", head.status, " ", ReasonPhrase(head.status),
      "\r\nDate: ", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", head.date, absl::UTCTimeZone()),
      "\r\nContent-Type: ", head.content_type, "\r\nContent-Length: ", head.content_bytes,
      head.status == 405 ? "\r\nAllow: GET, HEAD" : "",
      head.keep_alive ? "\r\nConnection: keep-alive\r\n\r\n" : "\r\nConnection: close\r\n\r\n");
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 414:
      return "URI Too Long";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

std::string_view ContentType(std::string_view path) {
  static constexpr struct {
    std::string_view extension;
    std::string_view type;
  } kTypes[] = {{".html", "text/html; charset=utf-8"},
                {".htm", "text/html; charset=utf-8"},
                {".txt", "text/plain; charset=utf-8"},
                {".md", "text/markdown; charset=utf-8"},
                {".css", "text/css; charset=utf-8"},
                {".js", "text/javascript; charset=utf-8"},
                {".json", "application/json"},
                {".xml", "application/xml"},
                {".pdf", "application/pdf"},
                {".png", "image/png"},
                {".jpg", "image/jpeg"},
                {".jpeg", "image/jpeg"},
                {".gif", "image/gif"},
                {".svg", "image/svg+xml"},
                {".ico", "image/vnd.microsoft.icon"},
                {".wasm", "application/wasm"}};
  for (const auto& [extension, type] : kTypes) {
    if (absl::EndsWithIgnoreCase(path, extension)) return type;
  }
  return "application/octet-stream";
}

}  // namespace ko::demos
