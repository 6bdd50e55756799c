#!/usr/bin/env bash
# format.sh [--check]: formats the C++ sources with clang-format 19, or tells which are not formatted.
set -euo pipefail
checkout=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
source "$checkout/tools/root/common.sh"
cd "$checkout"

mode=(-i)
[[ ${1-} != --check ]] || mode=(--dry-run --Werror)

listed() { git ls-files "$@" -- '*.h' '*.cc' | sort; }
mapfile -t files < <(comm -23 <(listed --cached --others --exclude-standard) <(listed --deleted))
[[ ${#files[@]} != 0 ]] || die "git lists no C++ sources here."
if command -v clang-format-19 >/dev/null; then
  clang-format-19 "${mode[@]}" "${files[@]}"
elif root_is_ready; then
  tools/root/enter.sh clang-format-19 "${mode[@]}" "${files[@]}"
else
  die "clang-format-19 is neither on PATH nor in the build root."
fi
