# Sourced by bazelw, make.sh and enter.sh: where the build root is, whether it is ready, and how to say what is wrong.
# Expects `checkout`, the absolute path of the checkout.

readonly minimum_bazel_major=7
readonly suite=forky          # the Debian suite that packages Bazel 7 and a current g++
readonly needed_megabytes=4000  # peak of the set-up; what stays is about 2,300

home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
cache=${KO_BUILD_ROOT:-${XDG_CACHE_HOME:-$home/.cache}/ko-process}
case $cache in
  /*) ;;
  *) cache=$PWD/$cache ;;
esac
readonly cache root=$cache/root log=$cache/set-up.log

say() { printf 'bazelw: %s\n' "$*" >&2; }

die() {
  say "$@"
  exit 1
}

# Prints the Bazel to use from PATH; fails where there is none that is new enough.
bazel_on_path() {
  local bazel version
  [[ -z ${KO_FORCE_BUILD_ROOT-} ]] || return 1
  bazel=$(command -v bazel) || return 1
  version=$("$bazel" --version 2>/dev/null | sed -n 's/^bazel \([0-9]\+\)\..*/\1/p') || return 1
  [[ -n $version && $version -ge $minimum_bazel_major ]] || return 1
  printf '%s' "$bazel"
}

require_debian_root() {
  local missing="Bazel $minimum_bazel_major or later is not on PATH"
  [[ $(uname -s) == Linux ]] || die "$missing, and this is not Linux."
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    die "$missing, and a build root can only be made on Debian or Ubuntu: please install Bazel."
  [[ $(id -u) == 0 ]] || die "$missing, and making a build root takes root: please install Bazel or run this as root."
  local tool
  for tool in unshare pivot_root flock; do
    command -v "$tool" >/dev/null || die "$missing, and a build root needs '$tool' (packages util-linux, mount)."
  done
}

# The recipe's fingerprint: a root made by another recipe is brought up to date.
recipe() { cat "$checkout"/tools/root/{base,packages,sources}.sh "$checkout"/tools/root/registry.py | sha256sum | cut -c1-16; }

root_is_ready() { [[ -f $root/ko/ready && $(<"$root/ko/ready") == "$(recipe)" ]]; }

help_root() {
  cat <<TEXT
bazelw runs the Bazel on PATH where it is version $minimum_bazel_major or later. Elsewhere, as root on Debian or Ubuntu, it makes a
private build root once (Debian $suite with Bazel and g++) and runs Bazel in it; the machine itself is left as it was.

  build root   $root ($(root_is_ready && echo ready || echo 'not made yet, or from an older recipe'))
  set-up log   $log
  to remove    ./bazelw shutdown; rm -rf --one-file-system $cache
  to place it  KO_BUILD_ROOT=FOLDER ./bazelw ...  (default: \$XDG_CACHE_HOME/ko-process or ~/.cache/ko-process)
  to force it  KO_FORCE_BUILD_ROOT=1 ./bazelw ... (even where there is a Bazel on PATH)

In the root /usr, /lib*, /bin, /sbin, /etc, /var, /opt and /boot are the root's own; every other folder is the machine's.
TEXT
}
