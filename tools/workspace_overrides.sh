# shellcheck shell=bash
# Sourced, after root/common.sh, by what builds with WORKSPACE instead of MODULE.bazel. In the build root, which has no
# network, the repositories that WORKSPACE names, and those that Bazel adds itself, are overridden by the root's own folders.
workspace_flags=(--enable_workspace --noenable_bzlmod)
if ! bazel_on_path >/dev/null; then
  override() { workspace_flags+=("--override_repository=$1=$2"); }
  for name in abseil-cpp googletest google_benchmark; do override "$name" "/ko/sources/$name"; done
  for name in cc java license proto python; do override "rules_$name" "/usr/share/bazel/rules/$name"; done
  override platforms /usr/share/bazel/tools/platforms
  override bazel_skylib /usr/share/bazel/tools/skylib
  override bazel_features /usr/share/bazel/tools/features
fi
