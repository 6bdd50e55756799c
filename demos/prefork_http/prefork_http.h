#ifndef KO_DEMOS_PREFORK_HTTP_PREFORK_HTTP_H_
#define KO_DEMOS_PREFORK_HTTP_PREFORK_HTTP_H_

#include <string>
#include <string_view>

#include "demos/host/demo.h"
#include "demos/prefork_http/connection.h"

namespace ko::demos {

class PreforkHttp : public Demo {
 public:
  std::string_view name() const override { return "prefork_http"; }
  std::string_view summary() const override {
    return "A web server of prefork workers: SIGHUP replaces them under load without a failed request";
  }
  void AddFlags(FlagSet& flags) override;
  int Run() override;

 private:
  std::string address_ = "127.0.0.1";
  int port_ = 8080;
  std::string root_ = ".";
  int workers_ = 2;
  int connections_ = 512;
  absl::Duration observe_ = absl::Seconds(1);
  ConnectionLimits limits_;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_PREFORK_HTTP_PREFORK_HTTP_H_
