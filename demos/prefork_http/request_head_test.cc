#include "demos/prefork_http/request_head.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ko::demos {
namespace {

constexpr std::string_view kHost = "Host: a\r\n\r\n";

ParsedHead Parse(std::string_view line, std::string_view fields = kHost) {
  return ParseRequestHead(absl::StrCat(line, "\r\n", fields));
}

TEST(RequestHeadTest, EveryPrefixIsIncompleteAndTheWholeIsComplete) {
  const std::string head = "GET /a/b.txt HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
  for (size_t size = 0; size < head.size(); ++size) {
    EXPECT_EQ(ParseRequestHead(head.substr(0, size)).status, ParsedHead::kIncomplete) << size;
  }
  const ParsedHead parsed = ParseRequestHead(head + "GET /next");
  EXPECT_EQ(parsed.status, ParsedHead::kComplete);
  EXPECT_EQ(parsed.size_bytes, head.size());
  EXPECT_EQ(parsed.request.path, "a/b.txt");
  EXPECT_TRUE(parsed.request.keep_alive);
  EXPECT_FALSE(parsed.request.head_only);
}

TEST(RequestHeadTest, AnEmptyLineBeforeIsPartOfIt) {
  const std::string head = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const ParsedHead parsed = ParseRequestHead(head);
  EXPECT_EQ(parsed.status, ParsedHead::kComplete);
  EXPECT_EQ(parsed.size_bytes, head.size());
  EXPECT_EQ(parsed.request.path, "");
}

TEST(RequestHeadTest, TargetsAreDecodedToPaths) {
  const struct {
    std::string_view target;
    std::string_view path;
  } kCases[] = {{"/", ""},     {"/a%20b", "a b"},       {"/%41%2e%c3%a4", "A.\xc3\xa4"}, {"/a?b=/../c", "a"},
                {"/a/", "a/"}, {"/..a/b..", "..a/b.."}, {"http://host:80/a", "a"},       {"http://host", ""}};
  for (const auto& [target, path] : kCases) {
    const ParsedHead parsed = Parse(absl::StrCat("HEAD ", target, " HTTP/1.1"));
    EXPECT_EQ(parsed.status, ParsedHead::kComplete) << target;
    EXPECT_EQ(parsed.request.path, path) << target;
    EXPECT_TRUE(parsed.request.head_only);
  }
}

TEST(RequestHeadTest, BadLinesHaveTheirStatus) {
  const struct {
    std::string_view line;
    int status;
  } kCases[] = {{"GET", 400},
                {"GET / HTTP/1.1 x", 400},
                {"GET  / HTTP/1.1", 400},
                {"GET a HTTP/1.1", 400},
                {"GET /../a HTTP/1.1", 400},
                {"GET /a/%2e%2e HTTP/1.1", 400},
                {"GET /%2e./a HTTP/1.1", 400},
                {"GET /%00 HTTP/1.1", 400},
                {"GET /%4 HTTP/1.1", 400},
                {"GET /%zz HTTP/1.1", 400},
                {"G\x01T / HTTP/1.1", 400},
                {"GET /\x7f HTTP/1.1", 400},
                {"GET / FTP/1.1", 400},
                {"GET / HTTP/2.0", 505},
                {"POST / HTTP/1.1", 405},
                {"OPTIONS * HTTP/1.1", 405},
                {"PATCH / HTTP/1.1", 405},
                {"BREW / HTTP/1.1", 501},
                {"get / HTTP/1.1", 501}};
  for (const auto& [line, status] : kCases) EXPECT_EQ(Parse(line).status, status) << line;
}

TEST(RequestHeadTest, BadFieldsAreRefused) {
  for (const std::string_view fields :
       {"\r\n", "Host: a\r\nHost: b\r\n\r\n", "Host : a\r\n\r\n", "Host: a\r\n folded\r\n\r\n",
        "Host: a\nb: c\r\n\r\n", "Host: a\r\nnothing\r\n\r\n", "Host: a\r\n: c\r\n\r\n",
        "Host: a\r\nContent-Length: 5\r\n\r\n", "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    EXPECT_EQ(Parse("GET / HTTP/1.1", fields).status, 400) << fields;
  }
}

TEST(RequestHeadTest, KeepAliveIsWhatVersionAndConnectionSay) {
  EXPECT_TRUE(Parse("GET / HTTP/1.1").request.keep_alive);
  EXPECT_FALSE(Parse("GET / HTTP/1.1", "Host: a\r\nconnection: x, Close\r\n\r\n").request.keep_alive);
  EXPECT_EQ(Parse("GET / HTTP/1.0", "\r\n").status, ParsedHead::kComplete);
  EXPECT_FALSE(Parse("GET / HTTP/1.0", "\r\n").request.keep_alive);
  EXPECT_TRUE(Parse("GET / HTTP/1.0", "Connection: Keep-Alive\r\n\r\n").request.keep_alive);
}

TEST(RequestHeadTest, HugeOnesAreRefusedBeforeTheirEnd) {
  EXPECT_EQ(ParseRequestHead(std::string(kMaxRequestLineBytes, 'a')).status, ParsedHead::kIncomplete);
  EXPECT_EQ(ParseRequestHead(std::string(kMaxRequestLineBytes + 1, 'a')).status, 414);
  EXPECT_EQ(Parse(absl::StrCat("GET /", std::string(kMaxRequestLineBytes, 'a'), " HTTP/1.1")).status, 414);
  const std::string line = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  EXPECT_EQ(ParseRequestHead(line + std::string(100, 'a')).status, ParsedHead::kIncomplete);
  EXPECT_EQ(ParseRequestHead(line + std::string(kMaxHeadBytes, 'a')).status, 431);
  EXPECT_EQ(ParseRequestHead(line + std::string(kMaxHeadBytes, 'a') + "\r\n\r\n").status, 431);
}

}  // namespace
}  // namespace ko::demos
