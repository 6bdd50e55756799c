#!/usr/bin/env bash
# Makes the build root, or brings it up to date. Each stage can be interrupted and is then resumed or redone by the next
# call; calls at the same time wait for one another; mounts live in a mount namespace of their own and end with it.
set -euo pipefail

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
source "$checkout/tools/root/common.sh"
here=$checkout/tools/root

mkdir -p "$cache" 2>/dev/null || die "cannot make the folder $cache (set KO_BUILD_ROOT to another place)."

exec 9>"$cache/lock"
if ! flock --nonblock 9; then
  say "another bazelw is making the build root; waiting for it (its log: $log)"
  flock 9
fi
root_is_ready && exit 0

free_megabytes() { df --output=avail --block-size=M "$cache" | tail -n 1 | tr -dc 0-9; }

# The sentence for what went wrong, from the log of the stage that failed.
explain() {
  local stage=$1
  if grep -qiE 'no space left on device|not enough free (disk )?space' "$log"; then
    die "the disk is full: the build root needs $needed_megabytes MB in $cache (see $log); make room and run this again."
  fi
  if grep -qiE 'could not resolve|temporary failure resolving|failed to fetch|could not connect|connection (failed|refused|timed out)|unable to (connect|locate package)|failed getting release file|network is unreachable' "$log"; then
    die "Debian's packages could not be fetched: the build root needs the network once (see $log); run this again when it is there."
  fi
  die "$stage failed (see $log); run this again to resume."
}

stage=
trap 'trap - INT TERM; echo >&2; say "interrupted during: ${stage:-the start}; run this again to resume."; exit 130' INT TERM

# run NAME COMMAND...: one line of progress for a stage, whose output goes to the log.
run() {
  stage=$1
  shift
  local start=$SECONDS pid status=0
  : >"$log"
  "$@" >>"$log" 2>&1 9>&- </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if [[ -t 2 ]]; then printf '\rbazelw:   %-44s%4d s' "$stage" $((SECONDS - start)) >&2; fi
    sleep 0.2
  done
  wait "$pid" || status=$?
  [[ ! -t 2 ]] || printf '\r' >&2
  printf 'bazelw:   %-44s%4d s\n' "$stage" $((SECONDS - start)) >&2
  ((status == 0)) || explain "$stage"
}

# in_root SCRIPT: runs one of the scripts of this folder inside the root, with the machine's /proc and /dev.
in_root() {
  local script=$1
  shift
  unshare --mount --propagation private bash -c '
    root=$1 script=$2
    shift 2
    mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" || exit 1
    for file in resolv.conf hosts; do
      [[ ! -e /etc/$file ]] || cp --dereference --remove-destination /etc/$file "$root/etc/$file"
    done
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
      chroot "$root" "$script" "$@"
  ' in_root "$root" "$script" "$@"
}

say "making the build root, once: $root (about two minutes, 2.3 GB)"
free=$(free_megabytes)
if [[ ! -d $root/ko ]] && ((free < needed_megabytes)); then
  die "the disk is too full: the build root needs $needed_megabytes MB in $cache, and $free MB are free."
fi

if [[ ! -f $root/ko/base-is-complete ]]; then
  rm -rf --one-file-system "$root"
  run "Debian $suite, base system" "$here/base.sh" "$suite" "$root" "$cache/debootstrap"
  mkdir -p "$root/ko"
  touch "$root/ko/base-is-complete"
fi
install -m 755 "$here"/{packages,sources}.sh "$here/registry.py" "$root/ko/"
run "Bazel, g++ and the test tools" in_root /ko/packages.sh "$suite"
run "sources of the C++ libraries" in_root /ko/sources.sh
run "module registry" in_root /ko/registry.py "$(recipe)"
recipe >"$root/ko/ready.new"
mv "$root/ko/ready.new" "$root/ko/ready"
say "the build root is ready (./bazelw --help-root tells more)"
