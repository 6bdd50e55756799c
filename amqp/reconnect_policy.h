#ifndef KO_AMQP_RECONNECT_POLICY_H_
#define KO_AMQP_RECONNECT_POLICY_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ko {

// When a lost connection is tried again: at once, then after 50 ms, then after twice as long each time, up to 5 s; a
// broker takes some seconds to start. `failures` counts the attempts that have failed. `share`, from 0 to 1 and
// different for each client, takes away up to half of the delay: those that lost the broker at the same time come back
// one after the other. Pure.
absl::Duration ReconnectDelay(int failures, double share);

// Whether another attempt may go better: the broker is away, or did not answer. A wrong password stays one. Pure.
bool MayReconnect(const absl::Status& status);

}  // namespace ko

#endif  // KO_AMQP_RECONNECT_POLICY_H_
