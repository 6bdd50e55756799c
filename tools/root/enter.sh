#!/usr/bin/env bash
# enter.sh COMMAND ARGS...: runs COMMAND inside the build root, in a mount namespace of its own that ends with its last
# process. Every top-level folder of the machine but the system's own is bound at its own path, so the checkout, home,
# /tmp, /proc, /dev and the terminal are the machine's. pivot_root, not chroot: after a chroot Bazel sees its server's
# working directory as moved and restarts it at every call.
set -euo pipefail

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
source "$checkout/tools/root/common.sh"

# What would lead programs of the root to the machine's own libraries or compilers.
unset LD_LIBRARY_PATH LD_PRELOAD LIBRARY_PATH CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH CC CXX CFLAGS CXXFLAGS LDFLAGS \
  JAVA_HOME JAVA_TOOL_OPTIONS
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

exec unshare --mount --propagation private bash -c '
  set -euo pipefail
  root=$1 workdir=$2 checkout=$3 home=$4
  shift 4

  is_system_folder() {
    case $1 in /usr | /lib* | /bin | /sbin | /etc | /var | /opt | /boot | /lost+found) return 0 ;; esac
    return 1
  }
  bind() {
    mkdir -p "$root$1"
    mount --rbind "$1" "$root$1"
  }

  mount --rbind "$root" "$root"
  mount --make-unbindable "$root"
  for folder in /*/; do
    folder=${folder%/}
    if [[ ! -L $folder ]] && ! is_system_folder "$folder"; then bind "$folder"; fi
  done
  for folder in "$workdir" "$checkout" "$home"; do  # those that lie in a system folder, /var/lib/ci/checkout say
    if [[ $folder != /*/* ]]; then continue; fi
    top=${folder#/} top=/${top%%/*}
    if is_system_folder "$top" && [[ ! -d $root$folder || $folder == "$checkout" ]]; then bind "$folder"; fi
  done
  for file in /etc/hosts /etc/resolv.conf; do
    if [[ -e $file ]]; then
      [[ -e $root$file ]] || : >"$root$file"
      mount --bind "$file" "$root$file"
    fi
  done

  mkdir -p "$root/.machine"
  cd "$root"
  pivot_root . .machine
  umount --lazy /.machine
  cd "$workdir"
  exec "$@"
' enter "$root" "$PWD" "$checkout" "$home" "$@"
