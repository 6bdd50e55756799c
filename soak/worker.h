#ifndef KO_SOAK_WORKER_H_
#define KO_SOAK_WORKER_H_

#include "ko/manager/self.h"
#include "ko/soak/world.h"

namespace ko::soak {

// Does one thing after the other with all that the world has, each written down in the ledger, until it is asked to leave.
// It may be killed anywhere.
void Work(World& world, Self& self);

// The same with a process pool: maps numbers, kills workers of the pool, and looks at every result.
void UsePool(World& world, Self& self);

}  // namespace ko::soak

#endif  // KO_SOAK_WORKER_H_
