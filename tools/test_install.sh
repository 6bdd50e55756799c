#!/usr/bin/env bash
# test_install.sh [BAZEL OPTION...]: installs //:ko_shared into a folder, and builds and runs programs of examples/consumer
# with it: by g++ and pkg-config's file, and by CMake where there is one.
set -euo pipefail
checkout=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
cd "$checkout"
source tools/root/common.sh

# The compiler and the C library that the library was built with.
beside_bazel() {
  if bazel_on_path >/dev/null; then "$@"; else tools/root/enter.sh "$@"; fi
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
prefix=$folder/prefix
./bazelw run --noshow_progress "$@" //:install -- --prefix="$prefix"

if command -v pkg-config >/dev/null; then
  flags=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs ko)
else
  # The file's own variables, put in as pkg-config does.
  echo "no pkg-config here: the flags are read from ko.pc"
  flags=$(sed -n 's/^\(Cflags\|Libs\): //p' "$prefix/lib/pkgconfig/ko.pc" |
    sed "s|\${libdir}|$prefix/lib|g; s|\${includedir}|$prefix/include|g" | xargs)
fi
for program in process signals proctitle ipc ko; do
  # shellcheck disable=SC2086  # one flag a word
  beside_bazel g++ -std=c++20 "examples/consumer/$program.cc" $flags -Wl,-rpath,"$prefix/lib" -o "$folder/$program"
  beside_bazel "$folder/$program"
done

if command -v cmake >/dev/null && command -v make >/dev/null; then
  mkdir "$folder/cmake"
  cat >"$folder/cmake/CMakeLists.txt" <<TEXT
cmake_minimum_required(VERSION 3.16)
project(consumer CXX)
find_package(ko 0.1.0 EXACT REQUIRED)
add_executable(consumer $checkout/examples/consumer/ko.cc)
target_link_libraries(consumer PRIVATE ko::ko)
TEXT
  # CMake may be this machine's, the compiler is the one beside Bazel.
  compiler=$folder/cmake/g++
  if bazel_on_path >/dev/null; then enter=; else enter=$checkout/tools/root/enter.sh; fi
  printf '#!/bin/sh\nexec %s g++ "$@"\n' "$enter" >"$compiler"
  chmod +x "$compiler"
  cmake -S "$folder/cmake" -B "$folder/cmake/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler"
  cmake --build "$folder/cmake/build"
  beside_bazel "$folder/cmake/build/consumer"
else
  echo "no cmake here: its package is not tried"
fi
