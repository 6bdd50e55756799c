#ifndef KO_DEMOS_AMQP_WORKER_AMQP_WORKER_H_
#define KO_DEMOS_AMQP_WORKER_AMQP_WORKER_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "demos/host/demo.h"

namespace ko::demos {

class AmqpWorker : public Demo {
 public:
  std::string_view name() const override { return "amqp_worker"; }
  std::string_view summary() const override {
    return "A worker that runs each message of a RabbitMQ queue in a process of its own";
  }
  void AddFlags(FlagSet& flags) override;
  int Run() override;

 private:
  std::string queue_ = "amqp://guest:guest@localhost/?queue=hello&durable=true&prefetch=1";
  absl::Duration job_time_ = absl::Seconds(1);
};

}  // namespace ko::demos

#endif  // KO_DEMOS_AMQP_WORKER_AMQP_WORKER_H_
