#!/usr/bin/env bash
# Builds each module alone, and checks that the four that must not know each other do not.
set -euo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

modules=(process signals proctitle ipc)
for module in "${modules[@]}"; do
  ./bazelw build --noshow_progress "//$module"
  for other in "${modules[@]}"; do
    [[ $other != "$module" ]] || continue
    arrows=$(./bazelw query --noshow_progress "filter('^//${other}[:/]', deps(//$module))")
    if [[ -n $arrows ]]; then
      echo "//$module depends on: $arrows" >&2
      exit 1
    fi
  done
done
