// A job of `bytes` bytes published, received and acknowledged by one process.

#include <memory>
#include <string>

#include "benchmark/benchmark.h"
#include "ko/ko.h"

namespace {

void JobQueue(benchmark::State& state) {
  const std::unique_ptr<ko::SharedJobQueue> queue = *ko::SharedJobQueue::Create();
  const std::string body(state.range(0), 'x');
  for (auto _ : state) {
    queue->Publish(body).IgnoreError();
    absl::StatusOr<ko::Job> job = queue->Receive();
    if (!job.ok() || !job->Ack().ok()) state.SkipWithError("a job is missing");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(JobQueue)->Name("JobQueue/ko")->ArgName("bytes")->Arg(0)->Arg(64)->Arg(4096);

}  // namespace
