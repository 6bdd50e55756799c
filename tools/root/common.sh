# shellcheck shell=bash disable=SC2034  # some of what is set here is used by one of the others only
# Sourced by bazelw, make.sh and enter.sh: where the build root is, whether it is ready, and how to say what is wrong.
# Expects `checkout`, the absolute path of the checkout.
: "${checkout:?}"

readonly minimum_bazel_major=7
readonly suite=forky            # the Debian suite that packages Bazel 7 and a current g++
readonly needed_megabytes=4000  # peak of the set-up; what stays is about 2,300

home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
cache=${KO_BUILD_ROOT:-${XDG_CACHE_HOME:-$home/.cache}/ko-process}
cache=$(readlink -m -- "$cache")
readonly cache root=$cache/root log=$cache/set-up.log

say() { printf 'bazelw: %s\n' "$*" >&2; }

die() {
  say "$@"
  exit 1
}

# Prints the first Bazel on PATH that is new enough; fails where there is none.
bazel_on_path() {
  local bazel version
  [[ -z ${KO_FORCE_BUILD_ROOT-} ]] || return 1
  while read -r bazel; do
    version=$(KO_BAZELW_ASKS=1 "$bazel" --version 2>/dev/null </dev/null | sed -n 's/^bazel \([0-9]\+\)\..*/\1/p') || true
    if [[ -n $version && $version -ge $minimum_bazel_major ]]; then
      printf '%s' "$bazel"
      return 0
    fi
  done < <(type -aP bazel)
  return 1
}

require_debian_root() {
  local tool missing="Bazel $minimum_bazel_major or later is not on PATH"
  [[ $(uname -s) == Linux ]] || die "$missing, and this is not Linux."
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null ||
      die "$missing, and a build root can only be made on Debian or Ubuntu: please install Bazel."
  done
  [[ $(id -u) == 0 ]] || die "$missing, and making a build root takes root: please install Bazel or run this as root."
  for tool in unshare setpriv mount pivot_root flock; do
    command -v "$tool" >/dev/null || die "$missing, and a build root needs '$tool' (packages util-linux, util-linux-extra, mount)."
  done
  unshare --mount true 2>/dev/null ||
    die "$missing, and a build root needs the right to mount, which this container does not give: please install Bazel."
}

# The recipe's fingerprint: a root made by another recipe is brought up to date.
recipe() { cat "$checkout"/tools/root/{base,packages,sources}.sh "$checkout"/tools/root/registry.py | sha256sum | cut -c1-16; }

root_is_ready() { [[ -f $root/ko/ready && $(<"$root/ko/ready") == "$(recipe)" ]]; }

root_state() {
  if root_is_ready; then
    echo ready
  elif [[ -f $root/ko/ready ]]; then
    echo 'from another recipe: the next call brings it up to date'
  elif [[ -d $root ]]; then
    echo 'not finished: the next call goes on'
  else
    echo 'not made yet'
  fi
}

help_root() {
  cat <<TEXT
bazelw runs the Bazel on PATH where it is version $minimum_bazel_major or later. Elsewhere, as root on Debian or Ubuntu, it makes a
private build root once (Debian $suite with Bazel and g++) and runs Bazel in it; the machine itself is left as it was.

  Bazel        $(bazel_on_path || echo "the build root's")
  build root   $root ($(root_state))
  set-up log   $log
  to remove    ./bazelw shutdown (in each checkout that uses it), then
               rm -rf --one-file-system $(printf '%q' "$cache")/{root,debootstrap,set-up.log,lock}
  to place it  KO_BUILD_ROOT=FOLDER ./bazelw ...  (default: \$XDG_CACHE_HOME/ko-process or ~/.cache/ko-process)
  to force it  KO_FORCE_BUILD_ROOT=1 ./bazelw ... (even where there is a Bazel on PATH)
  its packages KO_DEBIAN_MIRROR=URL ./bazelw ...  (default: the Debian mirror of this machine's apt)

In the root /usr, /lib*, /bin, /sbin, /etc, /var, /opt, /boot and /ko are the root's own; every other folder is the machine's,
and so are the checkout, the working folder, HOME and TMPDIR wherever they are.
TEXT
}
