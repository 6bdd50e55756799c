#!/usr/bin/env bash
# test_consumer.sh [--all | --abseil=FOLDER] [BAZEL OPTION...]: checks what each program of examples/consumer, a build of its
# own that depends on this checkout, pulls in, and builds and runs the smallest one. With --all builds and runs each: as it is,
# as C++23, without exceptions, without RTTI, with clang, and with WORKSPACE, each of which compiles everything again. With
# --abseil builds and runs each with the Abseil whose sources lie in that folder.
set -euo pipefail
checkout=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
cd "$checkout/examples/consumer"
source "$checkout/tools/root/common.sh"
source "$checkout/tools/workspace_overrides.sh"

all='' abseil=''
case ${1-} in
  --all) all=1 && shift ;;
  --abseil=*) abseil=$(readlink -e -- "${1#*=}") && shift ;;
esac
options=(--noshow_progress --ui_event_filters=-info "$@")
bazelw=$checkout/bazelw

programs=(process signals proctitle ipc ko)

# What each program may pull in, of this project and of others.
declare -A expected=(
  [process]='abseil-cpp ko-process//os ko-process//process'
  [signals]='abseil-cpp ko-process//os ko-process//signals'
  [proctitle]='abseil-cpp ko-process//os ko-process//proctitle'
  [ipc]='abseil-cpp ko-process//ipc ko-process//os'
  [ko]='abseil-cpp ko-process// ko-process//ipc ko-process//manager ko-process//os ko-process//pool ko-process//process
        ko-process//proctitle ko-process//signals'
)

# pulled_in PROGRAM: one word for each package of this project and each other repository that it is linked from, without
# rules_cc, of which Bazel gives each program an empty library.
pulled_in() {
  "$bazelw" cquery "${options[@]}" --notool_deps --noimplicit_deps --output=label \
    "kind('cc_(library|import|shared_library) rule', deps(//:$1))" |
    sed -E 's/ \([0-9a-z]+\)$//; s/^@@?//; s/^([A-Za-z0-9_.-]+)[~+][^/]*/\1/; s/:.*//; /^ko-process\/\//!s/\/\/.*//' |
    sed '/^rules_cc$/d' | sort -u | xargs
}

failed=
for program in "${programs[@]}"; do
  found=$(pulled_in "$program")
  echo "$program pulls in: $found"
  if [[ $found != "$(xargs <<<"${expected[$program]}")" ]]; then
    echo "$program: expected: $(xargs <<<"${expected[$program]}")" >&2
    failed=1
  fi
done

# run NAME PROGRAM... -- OPTION...: builds and runs the programs so.
run() {
  local name=$1 program programs=()
  shift
  while [[ $1 != -- ]]; do
    programs+=("$1")
    shift
  done
  shift
  echo "--- $name"
  for program in "${programs[@]}"; do
    if ! "$bazelw" run "${options[@]}" "$@" "//:$program"; then
      echo "$program, $name: FAILED" >&2
      failed=1
    fi
  done
}

if [[ -n $abseil ]]; then
  # By WORKSPACE: what its MODULE.bazel asks for may be newer than what there is.
  run "Abseil of $abseil" "${programs[@]}" -- "${workspace_flags[@]}" --override_repository=abseil-cpp="$abseil"
elif [[ -z $all ]]; then
  run 'MODULE.bazel' proctitle --
else
  run 'MODULE.bazel' "${programs[@]}" --
  run 'C++23' "${programs[@]}" -- --config=cxx23
  run 'no exceptions' "${programs[@]}" -- --config=noexceptions
  run 'no RTTI' "${programs[@]}" -- --config=nortti
  run 'clang' "${programs[@]}" -- --config=clang
  run 'WORKSPACE' "${programs[@]}" -- "${workspace_flags[@]}"
fi
"$bazelw" shutdown
[[ -z $failed ]]
