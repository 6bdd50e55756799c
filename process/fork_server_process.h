#ifndef KO_PROCESS_FORK_SERVER_PROCESS_H_
#define KO_PROCESS_FORK_SERVER_PROCESS_H_

#include <sys/types.h>

#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ko/os/fd_message.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/sibling.h"
#include "ko/os/unique_fd.h"
#include "ko/process/fork_server_protocol.h"

namespace ko {

// The other side of a ForkServer: the server process, and the blank children that it makes, each of which becomes a task or
// the next server. All of them are children of the caller and leave when it has died (they watch its pidfd) or has closed
// their socket.
class ForkServerProcess {
 public:
  struct Ends {
    pid_t caller = 0;
    os::UniqueFd socket;            // to the caller
    os::UniqueFd reports;           // the report file
    uint32_t birth_table_page = 0;  // of it
  };

  explicit ForkServerProcess(Ends ends) : ends_(std::move(ends)) {}

  // The body of a child that dies with its parent: runs `init`, says that it is ready, and serves until it is not needed any
  // more. A child that it made leaves from in here.
  absl::Status Run(absl::FunctionRef<absl::Status()> init);

 private:
  enum class Role { kServer, kBlank, kLeaving };

  absl::Status WatchCaller();
  static absl::Status KeepExitHandlersFromChildren();
  absl::Status BecomeServer();
  Role Serve();
  Role TakeRequest();
  Role Answer(os::ReceivedMessage& message);
  // `order`: with its arguments.
  Role BearTask(const BirthRequest& request, std::string_view order, os::ReceivedFds fds);
  Role BearSpare();
  // `socket` is a blank child's.
  Role Bear(const BirthRequest& request, os::UniqueFd socket);
  void BecomeBlank(os::UniqueFd socket, const BirthRequest& request);
  Role AwaitOrder();
  Role Obey(std::string_view order, os::ReceivedFds fds);
  [[noreturn]] void RunTask(const BlankOrder& order, std::string_view arguments, os::ReceivedFds fds);
  Role Refuse(const BirthRequest& request, const absl::Status& why);
  bool Reply(const ServerReply& reply, absl::Span<const int> fds = {});

  Ends ends_;
  os::UniqueFd caller_pidfd_;
  os::SiblingForker forker_;
  // A server's.
  os::SharedMapping births_;
  struct Spare {
    BirthRequest request;
    os::UniqueFd socket;
  };
  absl::InlinedVector<Spare, 4> spares_;  // that are to be born when there is time
  absl::Duration pause_;                  // for how long nobody has to have said anything
  os::SharedMapping report_;              // a blank child's
  int processor_ = -1;                    // where it is to sleep
  bool warm_ = false;                     // it has touched what it will need
  // A request or an order, with arguments. Last, for what is in use of this object and of the stack below it to lie in few
  // pages.
  char message_[sizeof(BirthRequest) + sizeof(BlankOrder) + kMaxInlineBytes];
};

}  // namespace ko

#endif  // KO_PROCESS_FORK_SERVER_PROCESS_H_
