#!/usr/bin/env bash
# Inside the root: unpacks the sources of the C++ libraries into /ko/sources/NAME, each checked against its sum.
# Debian's own archives of the versions that MODULE.bazel names; Debian repacks some of them without test data.
set -euo pipefail
mkdir -p /ko/sources
cd /ko/sources

# unpack NAME VERSION SHA256 SOURCE_PACKAGE
unpack() {
  local name=$1 version=$2 sum=$3 package=$4 archive uri
  [[ ! -f $name/.complete-$version ]] || return 0
  archive=${package}_$version.orig.tar.gz
  uri=$(apt-get source --print-uris --download-only "$package/trixie" | sed -n "s|^'\([^']*/$archive\)' .*|\1|p")
  [[ -n $uri ]] || { echo "unable to locate package source $archive" >&2; return 1; }
  /usr/lib/apt/apt-helper download-file "$uri" "$archive" "SHA256:$sum"
  rm -rf "$name"
  mkdir "$name"
  tar --extract --file "$archive" --directory "$name" --strip-components=1
  rm "$archive"
  touch "$name/.complete-$version"
}

unpack abseil-cpp 20240722.0 df6d1f5ef540725f3851201176a60486aab332410788465c9877910bb471c34a abseil
unpack googletest 1.16.0 2f54382b5d13d6cd0be2afc524f1e510d37f8ba78c2d439c5bea64ef37e30d01 googletest
unpack google_benchmark 1.9.1 32131c08ee31eeff2c8968d7e874f3cb648034377dfc32a4c377fa8796d84981 benchmark
