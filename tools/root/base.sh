#!/usr/bin/env bash
# base.sh SUITE ROOT SCRATCH: a minimal Debian SUITE in the folder ROOT, from the mirror that this machine's apt uses.
# debootstrap itself is unpacked into SCRATCH, not installed; apt's lists are kept there too.
set -euo pipefail
suite=$1 root=$2 scratch=$3

rm -rf "$scratch"
mkdir -p "$scratch"/{lists/partial,archives/partial,unpacked}
private_apt=(-o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache::Archives=$scratch/archives"
  -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root)

# A Debian mirror of the machine's own configuration; on Ubuntu, whose mirrors hold no Debian, Debian's well-known one.
mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
  awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
if [[ -z $mirror ]]; then
  apt-get "${private_apt[@]}" update
  mirror=$(apt-get "${private_apt[@]}" indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
fi
if [[ -z $mirror ]]; then
  echo "no Debian mirror in this machine's apt configuration" >&2
  exit 1
fi

debootstrap=$(command -v debootstrap || true)
scripts=/usr/share/debootstrap/scripts
if [[ -z $debootstrap ]]; then
  cd "$scratch"
  apt-get "${private_apt[@]}" update
  apt-get "${private_apt[@]}" download debootstrap
  dpkg-deb --extract debootstrap_*.deb unpacked
  debootstrap=$scratch/unpacked/usr/sbin/debootstrap
  scripts=$scratch/unpacked/usr/share/debootstrap/scripts
  export DEBOOTSTRAP_DIR=$scratch/unpacked/usr/share/debootstrap
fi

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -f $keyring ]] || keyring=/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg
script=$scripts/$suite
[[ -e $script ]] || script=$scripts/sid  # a debootstrap older than the suite: all suites since are made alike

include=()
[[ $mirror != https:* ]] || include=(--include=ca-certificates)
"$debootstrap" --variant=minbase "${include[@]}" --keyring="$keyring" "$suite" "$root" "$mirror" "$script"
rm -rf "$scratch"
