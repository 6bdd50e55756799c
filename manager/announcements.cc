#include "ko/manager/announcements.h"

#include <algorithm>
#include <utility>

namespace ko {
namespace {

using Kind = ProcessHandler::Event;

// What handlers of readiness are given.
ExitEvent NoExit() { return {.status = ExitStatus::Exited(0)}; }

}  // namespace

void Announcements::AddHandler(const RecordPtr& record, ProcessHandler handler) {
  auto shared = std::make_shared<ProcessHandler>(std::move(handler));
  if (shared->event == Kind::kReady) {
    if (record->ready_announced) calls_.push_back([shared] { shared->run(NoExit()); });
    if (!record->exit_announced) record->handlers.push_back(std::move(shared));
  } else {
    // Those that come late share an event of their own.
    if (record->exit_announced && record->handlers.empty()) TellExit(record, *record->exit, /*is_last=*/true);
    record->handlers.push_back(std::move(shared));
  }
}

void Announcements::AddEventHandler(absl::AnyInvocable<void(const ProcessEvent&)> handler) {
  event_handlers_.push_back(
      std::make_shared<absl::AnyInvocable<void(const ProcessEvent&)>>(std::move(handler)));
}

void Announcements::TellExit(const RecordPtr& record, ExitEvent exit, bool is_last) {
  items_.push_back(Exit{record, std::move(exit), is_last});
}

void Announcements::TellReady(const RecordPtr& record) { items_.push_back(Ready{record}); }

void Announcements::Tell(ProcessEvent event) {
  if (wants_events()) items_.push_back(std::move(event));
}

void Announcements::MakeLast(const RecordPtr& record) {
  for (auto item = items_.rbegin(); item != items_.rend(); ++item) {
    Exit* const exit = std::get_if<Exit>(&*item);
    if (exit == nullptr || exit->record != record) continue;
    exit->is_last = true;
    return;
  }
  // Those who came since it was told have their turn.
  const bool all_heard = std::all_of(record->handlers.begin(), record->handlers.end(), [&](const auto& each) {
    return each->event == Kind::kReady || each->heard == record->exit->attempt;
  });
  if (!all_heard) return TellExit(record, *record->exit, /*is_last=*/true);
  record->exit_announced = true;
  record->handlers.clear();
}

// Each call is taken off the queue before it is made. It may fork by itself: in the child the others are the parent's.
void Announcements::Run(absl::FunctionRef<bool()> may_go_on) {
  while (untold() > 0 && may_go_on()) {
    if (calls_.empty()) {
      Item item = std::move(items_.front());
      items_.pop_front();
      std::visit([this](auto&& each) { Expand(std::move(each)); }, std::move(item));
      continue;
    }
    absl::AnyInvocable<void()> call = std::move(calls_.front());
    calls_.pop_front();
    call();
  }
}

void Announcements::Expand(Exit item) {
  ProcessRecord& record = *item.record;
  const auto call = [&](const std::shared_ptr<ProcessHandler>& handler) {
    if (handler->heard != item.exit.attempt)
      calls_.push_back([handler, exit = item.exit] { handler->run(exit); });
  };
  for (const auto& handler : record.handlers) {
    if (handler->event != Kind::kExit && handler->IsFor(item.exit.status)) call(handler);
  }
  for (const auto& handler : record.handlers) {
    if (handler->event == Kind::kExit) call(handler);
  }
  for (const auto& handler : record.handlers) handler->heard = item.exit.attempt;
  if (!item.is_last) return;
  record.exit_announced = true;
  record.handlers.clear();
}

void Announcements::Expand(Ready item) {
  ProcessRecord& record = *item.record;
  record.ready_announced = record.last_ready_attempt == record.attempt;
  for (const auto& handler : record.handlers) {
    if (handler->event == Kind::kReady) calls_.push_back([handler] { handler->run(NoExit()); });
  }
}

void Announcements::Expand(ProcessEvent item) {
  for (const auto& handler : event_handlers_) {
    calls_.push_back([handler, item] { (*handler)(item); });
  }
}

void Announcements::Clear() {
  // A handler may hold a handle of its own process, which holds the handler.
  for (const Item& item : items_) {
    if (const Exit* exit = std::get_if<Exit>(&item)) exit->record->handlers.clear();
    if (const Ready* ready = std::get_if<Ready>(&item)) ready->record->handlers.clear();
  }
  items_.clear();
  calls_.clear();
}

}  // namespace ko
