"""faults_test: the sweeps of faults over a module's operations."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def faults_test(name, deps, **kwargs):
    """A test with testing/fault_sweep.h.

    Args:
      name: of the test; its source is NAME.cc.
      deps: what it tests.
      **kwargs: as those of cc_test.
    """
    cc_test(
        name = name,
        timeout = "moderate",
        srcs = [name + ".cc"],
        # The system calls of a sanitizer's own run-time would fail as well.
        tags = [
            "noasan",
            "notsan",
        ],
        deps = deps + [
            "//testing:fault_sweep",
            "@googletest//:gtest_main",
        ],
        **kwargs
    )
