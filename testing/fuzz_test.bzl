"""fuzz_test: a libFuzzer target that is an ordinary test, too."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def fuzz_test(name, srcs, corpus, deps, **kwargs):
    """Runs LLVMFuzzerTestOneInput of `srcs` over the corpus and a few thousand random inputs.

    With --config=fuzz it is libFuzzer's program instead, and takes libFuzzer's arguments: bazel run --config=fuzz
    //PACKAGE:NAME -- -max_total_time=60.

    Args:
      name: of the test.
      srcs: with LLVMFuzzerTestOneInput.
      corpus: files, each an input: seeds and cases that were found.
      deps: what it tests.
      **kwargs: as those of cc_test.
    """
    folders = {file.rpartition("/")[0]: None for file in corpus}
    cc_test(
        name = name,
        srcs = srcs,
        # libFuzzer only runs the files that it is given, and goes on from those of a folder.
        args = select({
            "//testing:with_libfuzzer": [native.package_name() + "/" + folder for folder in folders],
            "//conditions:default": ["$(rootpath %s)" % file for file in corpus],
        }),
        data = corpus,
        deps = deps + select({
            "//testing:with_libfuzzer": [],
            "//conditions:default": ["//testing:fuzz_main"],
        }),
        **kwargs
    )
