#!/usr/bin/env bash
# Inside the root: installs what builds and tests the project. Run again, it resumes.
set -euo pipefail

mirror=$(awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list)
cat >/etc/apt/sources.list.d/stable.list <<LIST
deb $mirror trixie main
deb-src $mirror trixie main
LIST
cat >/etc/apt/preferences.d/stable <<PIN
Package: *
Pin: release n=trixie
Pin-Priority: 100
PIN
# A mirror may be a frozen snapshot, whose Release files have expired; signatures are checked all the same.
echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/10ko
apt-get update

# What a killed dpkg left half unpacked, it neither configures nor replaces: removed, it is installed anew.
mapfile -t broken < <(dpkg-query --show --showformat '${db:Status-Eflag} ${Package}\n' | sed -n 's/^reinstreq //p')
if [[ ${#broken[@]} != 0 ]]; then dpkg --remove --force-remove-reinstreq --force-depends "${broken[@]}"; fi
dpkg --configure -a --force-depends
apt-get install --yes --no-install-recommends --fix-broken

# clang-format-19 is stable's, so that the format check does not change with the suite.
packages=(bazel-bootstrap g++ procps clang-format-19)
# What benchmarks compare with, and what draws and checks their report.
packages+=(libboost-dev liblmdb-dev gnuplot-nox chromium-headless-shell)
# The broker that the tests start, TLS for its client, and what makes certificates.
packages+=(rabbitmq-server libssl-dev openssl)
# Clients of the HTTP demo.
packages+=(curl wrk)
# The second compiler, with its fuzzer, and what checks the models of the protocols.
packages+=(clang libclang-rt-dev spin)
apt-get install --yes --no-install-recommends "${packages[@]}"
apt-get clean

# Debian's settings for building its own packages: pages of debugging output, and an option that Bazel no longer knows.
sed -i '/--sandbox_debug/d; /--host_javabase/d' /etc/bazel/bazelrc
# Its Java is newer than the Bazel, and would say so at every start of the server.
if ! grep -q sun-misc-unsafe /etc/bazel/bazelrc; then
  cat >>/etc/bazel/bazelrc <<RC
startup --host_jvm_args=--enable-native-access=ALL-UNNAMED
startup --host_jvm_args=--sun-misc-unsafe-memory-access=allow
RC
fi
