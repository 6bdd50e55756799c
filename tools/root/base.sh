#!/usr/bin/env bash
# base.sh SUITE ROOT SCRATCH: a minimal Debian SUITE in the folder ROOT, from KO_DEBIAN_MIRROR or else the mirror that this
# machine's apt uses. What debootstrap needs is unpacked into SCRATCH, not installed; apt's lists are kept there too.
set -euo pipefail
suite=$1 root=$2 scratch=$3

rm -rf "$scratch"
mkdir -p "$scratch"/{lists/partial,archives/partial,unpacked}
cd "$scratch"
private_apt=(-o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache::Archives=$scratch/archives"
  -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o Debug::NoLocking=true)

# Prints the Debian mirror of the machine's own configuration; apt options may be given. Ubuntu's has none.
debian_mirror() {
  # shellcheck disable=SC2016  # expanded by apt-get
  apt-get "$@" indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 == "Debian" && !found { print $3; found = 1 }'
}

missing=()
for program in debootstrap wget gpgv; do
  command -v "$program" >/dev/null || missing+=("$program")
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -e $keyring ]] || missing+=(debian-archive-keyring)

mirror=${KO_DEBIAN_MIRROR:-$(debian_mirror)}
if [[ -z $mirror || ${#missing[@]} != 0 ]]; then
  apt-get "${private_apt[@]}" update
  mirror=${mirror:-$(debian_mirror "${private_apt[@]}")}
fi
if [[ -z $mirror ]]; then
  echo "no Debian mirror in this machine's apt configuration" >&2
  exit 1
fi

if [[ ${#missing[@]} != 0 ]]; then
  apt-get "${private_apt[@]}" install --yes --no-install-recommends --download-only "${missing[@]}"
  for package in archives/*.deb; do dpkg-deb --extract "$package" unpacked; done
  export PATH=$PATH:$scratch/unpacked/usr/sbin:$scratch/unpacked/usr/bin
  for libraries in "$scratch"/unpacked/usr/lib/*-linux-*; do
    export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries
  done
  [[ -e $keyring ]] || keyring=$scratch/unpacked$keyring
fi
if [[ $(command -v debootstrap) == "$scratch"/* ]]; then
  export DEBOOTSTRAP_DIR=$scratch/unpacked/usr/share/debootstrap
fi
scripts=${DEBOOTSTRAP_DIR:-/usr/share/debootstrap}/scripts
script=$scripts/$suite
[[ -e $script ]] || script=$scripts/sid  # a debootstrap older than the suite: all suites since are made alike

include=()
[[ $mirror != https:* ]] || include=(--include=ca-certificates)
debootstrap --variant=minbase "${include[@]}" --keyring="$keyring" "$suite" "$root" "$mirror" "$script"
rm -rf "$scratch"
