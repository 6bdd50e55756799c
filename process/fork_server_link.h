#ifndef KO_PROCESS_FORK_SERVER_LINK_H_
#define KO_PROCESS_FORK_SERVER_LINK_H_

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ko/os/fd_message.h"
#include "ko/os/loaded_code.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/start_failure.h"
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

  // A spare one, if there is one.
  std::optional<BlankChild> TakeSpare();
  // A child that runs `order`, made for it. Errors: Aborted when the server has died, nobody is there to take its place, and
  // nothing has run; what the server says when it cannot fork; those of ReserveDescriptor, of NotHandedOver and of ReportPage;
  // where the task has begun, ResourceExhausted for one that has been ended for want of a descriptor, and Unknown for one that
  // has ended and been reaped by somebody else before there was one.
  absl::StatusOr<Child> Bear(const BlankOrder& order, std::string_view arguments, absl::Span<const int> fds);
  // Where fewer than half of the wanted spare ones are there, has the server make the others, without waiting for them. They
  // go to sleep on `processor`; -1: anywhere.
  void Refill(size_t wanted, int processor);

  // Sends an order to a child. The step that failed; one with errno 0 where none has.
  static os::StartFailure HandOver(const os::UniqueFd& socket, const BlankOrder& order,
                                   std::string_view arguments, absl::Span<const int> fds);
  static absl::Status NotHandedOver(const os::StartFailure& failure);

 private:
  ForkServerLink(BlankChild server, os::LoadedCode code, std::shared_ptr<ReportFile> reports,
                 ReportPage table_page, os::SharedMapping table);

  // A place in the table, with a page for the report. Errors: ResourceExhausted; those of ReportPage.
  absl::StatusOr<uint32_t> TakePlace(BirthRequest::Kind kind);
  BirthRequest RequestFor(uint32_t birth) const;
  // Whether it could be sent. The socket is made here, and not where the child is made: while sockets lie in a queue that nobody
  // reads, the kernel looks for cycles of such whenever anybody closes one, which a process that is being woken waits for.
  bool RequestBlank(int processor);
  // For the pidfd of a task, which may have begun when it arrives. Errors: those of fcntl(2).
  absl::Status ReserveDescriptor();
  // Sleeps until the server has said something, and takes it in; false when it has died.
  bool AwaitReply();
  // Takes in what the server has said; false when it is seen to have died, or has lied.
  bool TakeReplies();
  bool TakeReply(const ServerReply& reply, os::ReceivedFds fds);
  Child MakeChild(pid_t pid, os::UniqueFd pidfd, ReportPage page);
  // A task that the server has made, which may have begun or ended: whatever is wrong with it, there is not to be another one.
  // `pidfd` is what the server says it is, or invalid. False where it has lied.
  bool TakeTask(pid_t pid, os::UniqueFd pidfd, ReportPage page);
  bool IsHeirOnTheWay() const;
  void BuryServer();
  bool ReplaceServer();

  BirthTable& table() { return *static_cast<BirthTable*>(table_.data()); }

  const os::LoadedCode code_;
  std::shared_ptr<ReportFile> reports_;
  ReportPage table_page_;
  os::SharedMapping table_;
  os::UniqueFd reserve_;  // a descriptor to be given up where none is left
  BlankChild server_;
  std::optional<BlankChild> heir_;  // takes the server's place; the first blank child, given to nobody
  std::deque<BlankChild> spares_;
  struct Birth {
    ReportPage page;
    BirthRequest::Kind kind;
    os::UniqueFd socket;  // to a blank one
  };
  std::array<std::optional<Birth>, kMaxBirths> births_;  // that the server has been asked for
  size_t open_blanks_ = 0;                               // of them
  // What has become of the task that is being born, unless it was not born because the server has died.
  std::optional<absl::StatusOr<Child>> task_;
};

}  // namespace ko

#endif  // KO_PROCESS_FORK_SERVER_LINK_H_
