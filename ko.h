#ifndef KO_KO_H_
#define KO_KO_H_

// The facade: forked processes as easy as threads and as safe as a good supervisor. One include, one dependency
// (@ko-process//:ko). Each module can also be had alone: //process, //signals, //proctitle, //ipc, //manager, //pool.

// IWYU pragma: begin_exports
#include "ko/ipc/channel.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/semaphore.h"
#include "ko/ipc/shared_memory.h"
#include "ko/manager/exit_event.h"
#include "ko/manager/group.h"
#include "ko/manager/process.h"
#include "ko/manager/process_event.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/process_options.h"
#include "ko/manager/restart_policy.h"
#include "ko/manager/self.h"
#include "ko/manager/worker_pool.h"
#include "ko/pool/future.h"
#include "ko/pool/pool_options.h"
#include "ko/pool/process_pool.h"
#include "ko/pool/progress_line.h"
#include "ko/pool/terminal_line.h"
#include "ko/process/arguments.h"
#include "ko/process/child.h"
#include "ko/process/command.h"
#include "ko/process/daemonize.h"
#include "ko/process/exec.h"
#include "ko/process/exit_status.h"
#include "ko/process/fork.h"
#include "ko/process/fork_hook.h"
#include "ko/process/fork_server.h"
#include "ko/process/init.h"
#include "ko/process/listen.h"
#include "ko/process/listen_fds.h"
#include "ko/process/output_drain.h"
#include "ko/process/output_tail.h"
#include "ko/process/passed_fd.h"
#include "ko/process/service_notifier.h"
#include "ko/process/stop_policy.h"
#include "ko/proctitle/process_title.h"
#include "ko/signals/signal_dispatcher.h"
// IWYU pragma: end_exports

#endif  // KO_KO_H_
