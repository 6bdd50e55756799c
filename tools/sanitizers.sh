#!/usr/bin/env bash
# sanitizers.sh [asan|tsan] [BAZEL OPTION...] [TARGET...]: tests the targets, or all modules, with the address and
# undefined-behaviour sanitizers, with the thread sanitizer, or with one after the other. Demos, benchmarks, amqp and the soak
# are made of the modules.
set -uo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." || exit

configs=(asan tsan)
case ${1-} in
  asan | tsan) configs=("$1") && shift ;;
  -* | //* | '') ;;
  *)
    echo "usage: tools/sanitizers.sh [asan|tsan] [BAZEL OPTION...] [TARGET...]" >&2
    exit 2
    ;;
esac
options=() targets=()
for argument; do
  if [[ $argument == //* ]]; then targets+=("$argument"); else options+=("$argument"); fi
done
if ((${#targets[@]} == 0)); then
  targets=(//os/... //process/... //signals/... //proctitle/... //ipc/... //manager/... //pool/... //testing/...)
fi
# They take a multiple of their time with a sanitizer, which finds in them what it finds in the other tests of the same code.
stepped=(-//ipc:{semaphore,shared_memory,channel,job_queue}_every_instruction_test
  -//testing:kill_at_every_instruction_test)

status=0
for config in "${configs[@]}"; do
  ./bazelw test --config="$config" --keep_going "${options[@]}" -- "${targets[@]}" "${stepped[@]}" || status=$?
done
exit "$status"
