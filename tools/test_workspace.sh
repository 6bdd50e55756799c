#!/usr/bin/env bash
# test_workspace.sh [--analyze] TARGETS: tests them with WORKSPACE instead of MODULE.bazel, or only finds all that they name.
set -euo pipefail
checkout=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
cd "$checkout"
source tools/root/common.sh
source tools/workspace_overrides.sh

if [[ ${1-} == --analyze ]]; then
  shift
  exec ./bazelw build --nobuild "${workspace_flags[@]}" "$@"
fi
exec ./bazelw test "${workspace_flags[@]}" "$@"
