#ifndef KO_PROCESS_FORK_SERVER_LINK_H_
#define KO_PROCESS_FORK_SERVER_LINK_H_

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "ko/os/loaded_code.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/unique_fd.h"
#include "ko/process/child.h"
#include "ko/process/fork_server_protocol.h"
#include "ko/process/report_file.h"

namespace ko {

// A blank child: one that waits on its socket to be told what to become.
struct BlankChild {
  Child child;
  os::UniqueFd socket;
};

// The caller's side of one server process and the blank children that it has made. The destructor ends and reaps all of
// them.
//
// Threads: one at a time. Fork: a copy does nothing. Signals: none. Crash: where the server dies a blank child takes its
// place, as long as there is one.
class ForkServerLink {
 public:
  // Forks the server from this process. `init` runs in it. Errors: those of Fork, and what `init` returned.
  static absl::StatusOr<std::unique_ptr<ForkServerLink>> Start(std::shared_ptr<ReportFile> reports,
                                                               absl::FunctionRef<absl::Status()> init,
                                                               bool allow_threads);
  ~ForkServerLink();

  pid_t server_pid() const { return server_.child.pid(); }
  const os::LoadedCode& code() const { return code_; }

  // A blank child: a spare one, or a new one. Errors: Aborted when the server has died and nobody is there to take its
  // place; what the server says when it cannot fork.
  absl::StatusOr<BlankChild> Take();
  // Of one that was not used.
  void PutBack(BlankChild blank) { spares_.push_front(std::move(blank)); }
  // Has the server make spare ones, without waiting for them, until there are as many as wanted.
  void Refill(size_t wanted);

 private:
  ForkServerLink(BlankChild server, os::LoadedCode code, std::shared_ptr<ReportFile> reports,
                 ReportPage table_page, os::SharedMapping table);

  bool Ask(BirthRequest::Kind kind);
  void Hurry();
  // Takes in the next word of the server's, if there is one or `wait`; false when it has died.
  bool TakeReplies(bool wait);
  bool TakeReply();
  void BuryServer();
  bool ReplaceServer();

  BirthTable& table() { return *static_cast<BirthTable*>(table_.data()); }

  const os::LoadedCode code_;
  std::shared_ptr<ReportFile> reports_;
  ReportPage table_page_;
  os::SharedMapping table_;
  BlankChild server_;
  std::optional<BlankChild> heir_;  // takes the server's place; the first blank child, given to nobody
  std::deque<BlankChild> spares_;
  std::array<std::optional<ReportPage>, kMaxBirths> births_;  // that the server has been asked for
  size_t open_births_ = 0;
  bool unhurried_ = false;  // the server may let some time pass before it makes them
  absl::Status refusal_;    // the last one that has not been told
};

}  // namespace ko

#endif  // KO_PROCESS_FORK_SERVER_LINK_H_
