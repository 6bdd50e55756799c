#!/usr/bin/env bash
# test_workspace.sh TARGETS: tests them with WORKSPACE instead of MODULE.bazel.
set -euo pipefail
checkout=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
cd "$checkout"
source tools/root/common.sh
source tools/workspace_overrides.sh

exec ./bazelw test "${workspace_flags[@]}" "$@"
