#include "demos/supervisor/supervisor.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "demos/supervisor/chart.h"
#include "ko/ko.h"

namespace ko::demos {
namespace {

constexpr int kNameWidth = 12;

int TerminalWidth() {
  winsize size = {};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > kNameWidth + 10;
  return known ? size.ws_col : 80;
}

// Lives until it is asked to leave.
int Steady(ko::Self& self) {
  self.Sleep(absl::InfiniteDuration());
  return 0;
}

}  // namespace

void SupervisorDemo::AddFlags(FlagSet& flags) {
  flags.Add("seconds", &run_for_, "how long the demo goes on, such as 4s");
  flags.Add("life", &life_, "how long the first of the members that crash lives; the other, somewhat longer");
}

int SupervisorDemo::Run() {
  std::vector<std::pair<std::string, std::vector<Change>>> rows;  // in the order of the first starts
  const auto row_of = [&rows](const std::string& name) -> std::vector<Change>& {
    for (auto& [row_name, changes] : rows) {
      if (row_name == name) return changes;
    }
    return rows.emplace_back(name, std::vector<Change>()).second;
  };
  std::optional<absl::Duration> start;
  absl::Duration last = absl::ZeroDuration();
  ko::ProcessManager manager;
  manager.OnEvent([&](const ko::ProcessEvent& event) {
    if (!start.has_value()) start = event.monotonic;
    last = event.monotonic - *start;
    absl::PrintF("%7.3f  %s\n", absl::ToDoubleSeconds(last), event.ToString());
    std::fflush(stdout);
    if (event.kind == ko::ProcessEvent::Kind::kStarted) {
      row_of(event.name).push_back({last, Change::Kind::kStarted});
    } else if (event.kind == ko::ProcessEvent::Kind::kExited && event.exit.has_value()) {
      const bool crashed = !event.exit->status.ok() && event.exit->reason.empty();
      row_of(event.name).push_back({last, crashed ? Change::Kind::kCrashed : Change::Kind::kEnded});
    }
  });
  const auto crash = [](absl::Duration life) {
    return [life](ko::Self& self) { return self.Sleep(life) ? 1 : 0; };
  };
  const ko::RestartPolicy policy = {.max_restarts = ko::RestartPolicy::kUnlimited};
  ko::Group site = manager.Group(ko::Strategy::kRestForOne, {.name = "site"});
  site.Spawn(Steady, policy, {.name = "database"});
  ko::Group team = site.AddGroup(ko::Strategy::kOneForAll, {.name = "team"});
  team.Spawn(Steady, policy, {.name = "left"});
  team.Spawn(crash(life_), policy, {.name = "right"});
  site.Spawn(crash(1.7 * life_), policy, {.name = "cache"});
  site.Spawn(Steady, policy, {.name = "web"});
  if (absl::Status ended = manager.Wait(run_for_); absl::IsDeadlineExceeded(ended)) {
    manager.Shutdown().IgnoreError();
  }
  absl::PrintF("\n");
  for (const auto& [name, changes] : rows) {
    absl::PrintF("%-*s%s\n", kNameWidth, name, ChartRow(changes, last, TerminalWidth() - kNameWidth));
  }
  absl::PrintF("%-*s# runs   . does not   ! crashed\n", kNameWidth, "");
  return 0;
}

}  // namespace ko::demos
