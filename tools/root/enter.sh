#!/usr/bin/env bash
# enter.sh COMMAND ARGS...: runs COMMAND inside the build root, in a mount namespace of its own that ends with its last
# process. Every top-level folder of the machine but the system's own is bound at its own path, so the checkout, home,
# /tmp, /proc, /dev and the terminal are the machine's. pivot_root, not chroot: after a chroot Bazel sees its server's
# working directory as moved and restarts it at every call.
set -euo pipefail

checkout=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd -P)
source "$checkout/tools/root/common.sh"

# What would lead programs of the root to the machine's own libraries or compilers.
unset LD_LIBRARY_PATH LD_PRELOAD LIBRARY_PATH CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH CC CXX CFLAGS CXXFLAGS LDFLAGS \
  JAVA_HOME JAVA_TOOL_OPTIONS
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# By their real paths: a link of the machine's /var, say, does not exist in the root.
HOME=$(readlink -m -- "$home")
export HOME
if [[ -n ${TMPDIR-} ]]; then TMPDIR=$(readlink -m -- "$TMPDIR"); fi

# shellcheck disable=SC2016  # expanded by the inner shell
exec unshare --mount --propagation private bash -c '
  set -euo pipefail
  root=$1 workdir=$2 checkout=$3
  folders=("${@:2:4}")
  shift 5

  die() {
    echo "bazelw: $*" >&2
    exit 1
  }
  is_system_folder() {
    case $1 in
      /usr | /lib | /lib[0-9]* | /libx32 | /bin | /sbin | /etc | /var | /opt | /boot | /lost+found) return 0 ;;
      /ko) return 0 ;;  # what make.sh puts into the root
    esac
    return 1
  }
  bind() {
    mkdir -p "$root$1"
    mount --rbind "$1" "$root$1" || die "cannot bind the folder $1 into the build root."
  }
  # Whether the root has files of its own in the folder; folders alone are mount points of earlier calls.
  is_the_roots() { [[ -e $root$1 && -n $(find "$root$1" ! -type d -print -quit) ]]; }

  ! is_system_folder "$checkout" || die "the checkout cannot be $checkout itself; a folder below it is fine."
  mount --rbind "$root" "$root"
  mount --make-unbindable "$root"
  own=("$checkout")  # of the folders that the caller uses, those that lie in a system folder: /var/lib/ci/checkout, say
  for folder in "${folders[@]}"; do
    if [[ $folder == /*/* && -d $folder ]] && ! is_the_roots "$folder"; then own+=("$folder"); fi
  done
  for folder in /*/; do
    folder=${folder%/}
    if ! is_system_folder "$folder"; then bind "$folder"; fi
  done
  while read -rd "" folder; do  # sorted: a folder comes before those inside it
    top=${folder#/} top=/${top%%/*}
    if is_system_folder "$top"; then bind "$folder"; fi
  done < <(printf "%s\0" "${own[@]}" | sort -zu)
  for file in /etc/hosts /etc/resolv.conf; do
    if [[ -e $file ]]; then
      [[ -e $root$file ]] || : >"$root$file"
      mount --bind "$file" "$root$file"
    fi
  done

  mkdir -p "$root/.machine"
  cd "$root"
  pivot_root . .machine || die "cannot enter the build root: / is no mount point here (a chroot?)."
  umount --lazy /.machine
  cd "$workdir"
  exec "$@"
' enter "$root" "$(pwd -P)" "$checkout" "$HOME" "${TMPDIR-}" "$@"
