#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/amqp/amqp_url.h"

// A URL that is taken keeps what the header says of its parts; one that is not is InvalidArgument.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::StatusOr<ko::AmqpUrl> url =
      ko::AmqpUrl::Parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!url.ok()) {
    if (!absl::IsInvalidArgument(url.status())) std::abort();
    return 0;
  }
  const bool sound = !url->host.empty() && url->port > 0 && url->port <= 65535 && !url->queue.empty() &&
                     url->queue.size() <= 255 && url->prefetch >= 1 && url->prefetch <= 65535 &&
                     url->heartbeat >= absl::ZeroDuration() && url->heartbeat <= absl::Seconds(65535) &&
                     url->timeout >= absl::Seconds(1) && url->timeout <= absl::Seconds(86400);
  if (!sound) std::abort();
  // User and password stand before the host, so what is shown has no place for them.
  if (url->Redacted().find(url->Address()) > sizeof "amqps://" - 1) std::abort();
  return 0;
}
