#!/usr/bin/env bash
# Inside the root: unpacks the sources of the C++ libraries into /ko/sources/NAME, each checked against its sum.
# Debian's own archives of the versions that MODULE.bazel names; Debian repacks some of them without test data.
# What MODULE.bazel takes as an archive, because no registry has it, goes to /ko/archives under the last part of its
# address: Bazel's --distdir finds it there by that name and its sum.
set -euo pipefail
mkdir -p /ko/sources /ko/archives
cd /ko/sources

# download FILE VERSION SHA256 SOURCE_PACKAGE
download() {
  local file=$1 version=$2 sum=$3 package=$4 archive uri
  archive=${package}_$version.orig.tar.gz
  uri=$(apt-get source --print-uris --download-only "$package/trixie" | sed -n "s|^'\([^']*/$archive\)' .*|\1|p")
  [[ -n $uri ]] || { echo "unable to locate package source $archive" >&2; return 1; }
  /usr/lib/apt/apt-helper download-file "$uri" "$file" "SHA256:$sum"
}

# unpack NAME VERSION SHA256 SOURCE_PACKAGE
unpack() {
  local name=$1 version=$2 sum=$3 package=$4
  [[ ! -f $name/.complete-$version ]] || return 0
  download "$name.tar.gz" "$version" "$sum" "$package"
  rm -rf "$name"
  mkdir "$name"
  tar --extract --file "$name.tar.gz" --directory "$name" --strip-components=1
  rm "$name.tar.gz"
  touch "$name/.complete-$version"
}

unpack abseil-cpp 20240722.0 df6d1f5ef540725f3851201176a60486aab332410788465c9877910bb471c34a abseil
unpack googletest 1.16.0 2f54382b5d13d6cd0be2afc524f1e510d37f8ba78c2d439c5bea64ef37e30d01 googletest
unpack google_benchmark 1.9.1 32131c08ee31eeff2c8968d7e874f3cb648034377dfc32a4c377fa8796d84981 benchmark
[[ -f /ko/archives/v0.15.0.tar.gz ]] ||
  download /ko/archives/v0.15.0.tar.gz 0.15.0 7b652df52c0de4d19ca36c798ed81378cba7a03a0f0c5d498881ae2d79b241c2 librabbitmq
