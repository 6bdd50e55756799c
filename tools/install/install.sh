#!/usr/bin/env bash
# install.sh --prefix=FOLDER, as //:install: puts the shared library, its headers, ko.pc and a CMake package there.
set -euo pipefail

prefix=
for argument in "$@"; do
  case $argument in
    --prefix=?*) prefix=${argument#--prefix=} ;;
    *)
      echo "install: unknown argument: $argument" >&2
      exit 2
      ;;
  esac
done
if [[ -z $prefix ]]; then
  echo "usage: bazel run //:install -- --prefix=FOLDER" >&2
  exit 2
fi
# Bazel runs this in a folder of its own; a relative path is meant from where the user stands.
[[ $prefix == /* ]] || prefix=${BUILD_WORKING_DIRECTORY:-$PWD}/$prefix

version=$(cat tools/install/version)
mkdir -p "$prefix"/include "$prefix"/lib/pkgconfig "$prefix"/lib/cmake/ko
prefix=$(CDPATH='' cd -- "$prefix" && pwd)
cp -rL --no-preserve=mode tools/install/include/. "$prefix/include/"
# A new file beside the old one, then renamed: a program that has the old one mapped keeps it.
install -m 755 libko.so "$prefix/lib/libko.so.$version.new"
mv "$prefix/lib/libko.so.$version.new" "$prefix/lib/libko.so.$version"
ln -sf "libko.so.$version" "$prefix/lib/libko.so"
pkgconfig=$(<tools/install/ko.pc)
pkgconfig=${pkgconfig//@PREFIX@/"$prefix"}
printf '%s\n' "${pkgconfig//@VERSION@/"$version"}" >"$prefix/lib/pkgconfig/ko.pc"
for file in koConfig.cmake koConfigVersion.cmake; do
  text=$(<"tools/install/$file")
  printf '%s\n' "${text//@VERSION@/"$version"}" >"$prefix/lib/cmake/ko/$file"
done
echo "installed ko $version in $prefix"
