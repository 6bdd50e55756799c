#ifndef KO_MANAGER_ANNOUNCEMENTS_H_
#define KO_MANAGER_ANNOUNCEMENTS_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "ko/manager/exit_event.h"
#include "ko/manager/process_event.h"
#include "ko/manager/process_record.h"

namespace ko {

// What the program is still to be told, in order, and the calls that tell it. Has nothing of the kernel's.
//
// Threads: one at a time. Fork: a child clears its copy. Signals: none. Crash: none. Errors: none.
class Announcements {
 public:
  using RecordPtr = std::shared_ptr<ProcessRecord>;

  void AddHandler(const RecordPtr& record, ProcessHandler handler);
  void AddEventHandler(absl::AnyInvocable<void(const ProcessEvent&)> handler);
  // Whether anybody wants to be told of events by Tell.
  bool wants_events() const { return !event_handlers_.empty(); }

  void TellExit(const RecordPtr& record, ExitEvent exit, bool is_last);
  void TellReady(const RecordPtr& record);
  void Tell(ProcessEvent event);
  // Any other call of the program's, in its turn.
  void Call(absl::AnyInvocable<void()> call) { calls_.push_back(std::move(call)); }
  // An end that was told as one of several has become the last one. Who has asked since is told of it.
  void MakeLast(const RecordPtr& record);

  size_t untold() const { return items_.size() + calls_.size(); }
  // Makes the calls while `may_go_on`, asked before each, says so. One that throws is not made again; the others are made at
  // the next Run.
  void Run(absl::FunctionRef<bool()> may_go_on);
  // Makes none of them, and forgets the handlers that are waited with for ends.
  void Clear();

 private:
  struct Exit {
    RecordPtr record;
    ExitEvent exit;
    bool is_last;
  };
  struct Ready {
    RecordPtr record;
  };
  using Item = std::variant<Exit, Ready, ProcessEvent>;

  void Expand(Exit item);
  void Expand(Ready item);
  void Expand(ProcessEvent item);

  std::deque<Item> items_;
  std::deque<absl::AnyInvocable<void()>> calls_;  // of items that have been expanded: one each
  std::vector<std::shared_ptr<absl::AnyInvocable<void(const ProcessEvent&)>>> event_handlers_;
};

}  // namespace ko

#endif  // KO_MANAGER_ANNOUNCEMENTS_H_
