"""whole_archive: C++ libraries and all that they depend on, of which a shared library takes everything, used or not."""

load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain", "use_cc_toolchain")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _whole_archive_impl(ctx):
    toolchain = find_cc_toolchain(ctx)
    features = cc_common.configure_features(ctx = ctx, cc_toolchain = toolchain)
    merged = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps])
    inputs = []
    for input in merged.linking_context.linker_inputs.to_list():
        libraries = [
            cc_common.create_library_to_link(
                actions = ctx.actions,
                feature_configuration = features,
                cc_toolchain = toolchain,
                static_library = library.static_library,
                pic_static_library = library.pic_static_library,
                alwayslink = True,
            )
            for library in input.libraries
            if library.static_library or library.pic_static_library
        ]
        inputs.append(cc_common.create_linker_input(
            owner = input.owner,
            libraries = depset(libraries),
            user_link_flags = depset(input.user_link_flags),
        ))
    return [CcInfo(linking_context = cc_common.create_linking_context(linker_inputs = depset(inputs)))]

whole_archive = rule(
    implementation = _whole_archive_impl,
    attrs = {"deps": attr.label_list(providers = [CcInfo])},
    fragments = ["cpp"],
    toolchains = use_cc_toolchain(),
)
