#!/usr/bin/env python3
"""registry.py VERSION, inside the root: a Bazel module registry of local folders, and the bazelrc that names it.

Bazel resolves the same MODULE.bazel here, without a network, that it resolves elsewhere from the public registry.
VERSION is part of the registry's path, because a running Bazel server remembers the files of a registry.
"""

import json
import pathlib
import shutil
import sys

DEBIAN = "/usr/share/bazel"
STUB = "/ko/stub"
SOURCES = "/ko/sources"

# name: (version, compatibility level, folder, direct dependencies, other versions that the graph asks for)
MODULES = {
    "platforms": ("0.0.10", 0, f"{DEBIAN}/tools/platforms", [], ["0.0.4", "0.0.7", "0.0.9"]),
    "bazel_skylib": ("1.9.1", 1, f"{DEBIAN}/tools/skylib", ["platforms"], ["1.3.0", "1.6.1", "1.7.1", "1.9.0"]),
    "bazel_features": ("1.11.0", 1, f"{DEBIAN}/tools/features", ["bazel_skylib"], []),
    "rules_license": ("0.0.7", 1, f"{DEBIAN}/rules/license", [], ["0.0.3"]),
    "rules_proto": ("5.3.0-21.7", 1, f"{DEBIAN}/rules/proto", ["bazel_skylib"], ["4.0.0"]),
    "rules_python": ("0.24.0", 1, f"{DEBIAN}/rules/python", [], ["0.22.1"]),
    "rules_cc": ("0.0.11", 1, f"{DEBIAN}/rules/cc", ["bazel_skylib", "platforms"], ["0.0.2"]),
    "rules_java": ("7.6.5", 1, f"{DEBIAN}/rules/java", [], []),
    "abseil-cpp": (
        "20240722.0", 1, f"{SOURCES}/abseil-cpp",
        ["rules_cc", "bazel_skylib", "platforms", "googletest"], [],
    ),
    "googletest": ("1.16.0", 1, f"{SOURCES}/googletest", ["rules_cc", "platforms", "abseil-cpp", "re2"], []),
    "google_benchmark": (
        "1.9.1", 1, f"{SOURCES}/google_benchmark",
        ["rules_cc", "platforms", "bazel_skylib", "libpfm", "googletest"], [],
    ),
    # Named by the graph above and never built.
    "re2": ("2024-07-02", 1, STUB, [], []),
    "libpfm": ("4.11.0", 1, STUB, [], []),
    "protobuf": ("3.19.6", 1, STUB, [], ["21.7", "23.1"]),
    "zlib": ("1.3.1.bcr.3", 1, STUB, [], []),
    "apple_support": ("1.23.1", 1, STUB, [], []),
    "buildozer": ("7.1.2", 1, STUB, [], []),
}


def module_text(name, version):
    own_version, level, folder, deps, _ = MODULES[name]
    if name == "rules_java":  # its extensions are used by Bazel itself, so its own file, with our platforms
        text = pathlib.Path(folder, "MODULE.bazel").read_text()
        return text.replace('"platforms", version = "0.0.4"', '"platforms", version = "0.0.10"')
    text = f'module(name = "{name}", version = "{version}", compatibility_level = {level})\n'
    if version == own_version:
        text += "".join(f'bazel_dep(name = "{dep}", version = "{MODULES[dep][0]}")\n' for dep in deps)
    if name == "rules_python":
        text += 'register_toolchains("@bazel_tools//tools/python:autodetecting_toolchain")\n'
    return text


def write_stub():
    stub = pathlib.Path(STUB)
    stub.mkdir(parents=True, exist_ok=True)
    (stub / "BUILD").touch()
    (stub / "REPO.bazel").touch()
    (stub / "buildozer_binary.bzl").write_text(
        "def _none(_ctx):\n    pass\n\nbuildozer_binary = module_extension(implementation = _none)\n"
    )


def main():
    write_stub()
    registry = pathlib.Path("/ko/registry", sys.argv[1])
    shutil.rmtree(registry, ignore_errors=True)
    for name, (version, _, folder, _, others) in MODULES.items():
        for each in [version, *others]:
            entry = registry / "modules" / name / each
            entry.mkdir(parents=True)
            (entry / "MODULE.bazel").write_text(module_text(name, each))
            (entry / "source.json").write_text(json.dumps({"type": "local_path", "path": folder}))
    (registry / "bazel_registry.json").write_text(json.dumps({"module_base_path": "/"}))
    pathlib.Path("/etc/bazel.bazelrc").write_text(
        f"common --registry=file://{registry}\ncommon --noenable_workspace\ncommon --distdir=/ko/archives\n"
    )


main()
