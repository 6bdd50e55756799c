#!/usr/bin/env bash
# fuzz.sh [SECONDS] [BAZEL OPTION...]: every fuzz target under libFuzzer for SECONDS (60), five at a time for each processor.
# What one finds is kept in fuzz/TARGET, to be put into that target's fuzz_corpus. Prints a line for each, with its executions.
set -euo pipefail
checkout=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
cd "$checkout"

seconds=60
if [[ ${1-} =~ ^[0-9]+$ ]]; then
  seconds=$1
  shift
fi
options=(--config=fuzz --noshow_progress --ui_event_filters=-info "$@")

mapfile -t targets < <(./bazelw query "${options[@]:1}" 'attr(name, "_fuzz$", kind(cc_test, //...))' | sort)
if ((${#targets[@]} == 0)); then
  echo "fuzz.sh: there are no fuzz targets" >&2
  exit 1
fi
./bazelw build "${options[@]}" "${targets[@]}"
bin=$(./bazelw info "${options[@]}" bazel-bin)

# fuzz_one TARGET FOLDER...: goes on from the corpus in the folders, which stays as it is.
fuzz_one() {
  local target=$1 path name new output count status=0
  shift
  path=${target#//}
  name=${path/://}
  new=$(mktemp -d)
  mkdir -p "fuzz/$name"
  output=$(tools/root/enter.sh "$bin/$name" -max_total_time="$seconds" -artifact_prefix="fuzz/$name/" \
    -print_final_stats=1 "$new" "$@" 2>&1) || status=$?
  rm -rf "$new"
  count=$(sed -n 's/^stat::number_of_executed_units: *//p' <<<"$output")
  if ((status == 0)); then
    rmdir --ignore-fail-on-non-empty "fuzz/$name"
    echo "$target: $count executions in $seconds s"
  else
    tail -n 40 <<<"$output"
    echo "$target: FAILED after ${count:-some} executions; what it found is in fuzz/$name" >&2
  fi
  return "$status"
}

failed=0
at_a_time=$((5 * $(nproc)))
pids=()
for target in "${targets[@]}"; do
  mapfile -t folders < <(./bazelw query "${options[@]:1}" "labels(data, $target)" |
    sed -E 's,^//,,; s,:,/,; s,/[^/]*$,,' | sort -u)
  while (($(jobs -rp | wc -l) >= at_a_time)); do sleep 0.2; done
  fuzz_one "$target" "${folders[@]}" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit "$failed"
