#!/usr/bin/env bash
# Makes the build root, or brings it up to date. Each stage can be interrupted and is then resumed or redone by the next
# call; calls at the same time wait for one another; processes and mounts live in namespaces that end with this script.
set -euo pipefail
umask 022

checkout=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd -P)
source "$checkout/tools/root/common.sh"
here=$checkout/tools/root

pid='' stage=''
# Ends the stage, of which nothing may go on working in a root that the next call redoes.
interrupted() {
  trap - INT TERM HUP
  [[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null || true
  echo >&2
  say "interrupted during: ${stage:-the start}; run this again to resume."
  exit "$1"
}
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP

{ mkdir -p "$cache" && : >>"$cache/lock"; } 2>/dev/null ||
  die "cannot write to the folder $cache (set KO_BUILD_ROOT to another place)."

# The stages inherit the lock: should this script be killed, it is free when the last of its processes is gone.
exec 9>>"$cache/lock"
if ! flock --nonblock 9; then
  say "another bazelw is making the build root; waiting for it (its log: $log)"
  flock 9
fi
! root_is_ready || exit 0

free_megabytes() { df --output=avail --block-size=M "$cache" | tail -n 1 | tr -dc 0-9; }

# The sentence for what went wrong, from the log of the stage that failed.
explain() {
  local next=again
  if (($(free_megabytes) < 50)) || grep -qiE 'no space left on device|not enough free (disk )?space|disk quota exceeded' "$log"; then
    die "the disk is full: the build root needs $needed_megabytes MB in $cache (see $log); make room and run this again."
  fi
  if grep -qiE 'could not resolve|temporary failure resolving|failed to fetch|could not connect|connection (failed|refused|timed out)|unable to (connect|locate package)|failed getting release file|network is unreachable' "$log"; then
    die "Debian's packages could not be fetched: the build root needs the network once (see $log); run this again when it is there."
  fi
  if grep -qi 'mounted with noexec or nodev' "$log"; then
    die "$cache is mounted with noexec or nodev: set KO_BUILD_ROOT to another place."
  fi
  if grep -qi 'no Debian mirror' "$log"; then
    die "this machine's apt knows no Debian mirror: set KO_DEBIAN_MIRROR to the address of one, and run this again."
  fi
  # An unknown reason may be a half-made root that no resuming mends. One that was ready may be in use, and stays.
  if [[ ! -f $root/ko/ready ]]; then
    rm -f "$root/ko/base-is-complete"
    next='again to start over'
  fi
  die "$stage failed (see $log); run this $next."
}

# run NAME COMMAND...: one line of progress for a stage, whose output goes to the log. The stage's namespaces of
# processes and mounts end with it, and it ends with this script.
run() {
  local start=$SECONDS status=0
  stage=$1
  shift
  : >"$log"
  setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child "$@" >>"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if [[ -t 2 ]]; then printf '\rbazelw:   %-44s%4d s' "$stage" $((SECONDS - start)) >&2; fi
    sleep 0.2
  done
  wait "$pid" || status=$?
  pid=''
  [[ ! -t 2 ]] || printf '\r' >&2
  printf 'bazelw:   %-44s%4d s\n' "$stage" $((SECONDS - start)) >&2
  ((status == 0)) || explain
}

# run_in_root NAME SCRIPT ARGS...: a stage that is one of the scripts of this folder, run inside the root with the
# machine's /proc and /dev, names and proxy.
run_in_root() {
  local name=$1 apt_proxy='' apt_secure_proxy=''
  shift
  eval "$(apt-config shell apt_proxy Acquire::http::Proxy apt_secure_proxy Acquire::https::Proxy)"
  # shellcheck disable=SC2016  # expanded by the inner shell
  run "$name" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    http_proxy="${http_proxy:-$apt_proxy}" https_proxy="${https_proxy:-$apt_secure_proxy}" no_proxy="${no_proxy-}" \
    bash -c '
      set -e
      root=$1
      shift
      mount --rbind /proc "$root/proc"
      mount --rbind /dev "$root/dev"
      for file in resolv.conf hosts; do
        [[ ! -e /etc/$file ]] || cp --dereference --remove-destination "/etc/$file" "$root/etc/$file"
      done
      exec chroot "$root" "$@"
    ' run_in_root "$root" "$@"
}

if [[ -f $root/ko/ready ]]; then
  say "bringing the build root up to date: $root"
else
  say "making the build root, once: $root (about two minutes, 2.7 GB)"
fi
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
run_in_root "Bazel, g++ and the test tools" /ko/packages.sh
run_in_root "sources of the C++ libraries" /ko/sources.sh
run_in_root "module registry" /ko/registry.py "$(recipe)"
recipe >"$root/ko/ready.new"
mv "$root/ko/ready.new" "$root/ko/ready"
say "the build root is ready (./bazelw --help-root tells more)"
