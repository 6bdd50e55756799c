#!/usr/bin/env bash
# format.sh [--check]: formats the C++ sources with clang-format 19, or tells which are not formatted.
set -euo pipefail
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$checkout"
source tools/root/common.sh

mode=(-i)
[[ ${1-} != --check ]] || mode=(--dry-run --Werror)

mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.h' '*.cc')
if command -v clang-format-19 >/dev/null; then
  clang-format-19 "${mode[@]}" "${files[@]}"
elif root_is_ready; then
  tools/root/enter.sh clang-format-19 "${mode[@]}" "${files[@]}"
else
  die "clang-format-19 is neither on PATH nor in the build root."
fi
