"""header_tree: the headers of C++ libraries and of all that they depend on, in one folder, each where #include finds it."""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _include_path(file):
    """Where #include finds the file; None for one that is found under another path, or not at all."""
    path = file.short_path
    if "_virtual_includes/" in path:  # of a library with an include_prefix: _virtual_includes/TARGET/PATH
        return path.split("_virtual_includes/")[1].split("/", 1)[1]
    if path.startswith("../"):  # of another repository: ../REPOSITORY/PATH
        return path.split("/", 2)[2]
    return None

def _header_tree_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name)
    contexts = [dep[CcInfo].compilation_context for dep in ctx.attr.deps]
    headers = depset(transitive = [context.headers for context in contexts]).to_list()
    placed = [(file, _include_path(file)) for file in headers]
    list_file = ctx.actions.declare_file(ctx.label.name + ".list")
    ctx.actions.write(
        list_file,
        "".join(["%s %s\n" % (file.path, path) for file, path in placed if path != None]),
    )
    ctx.actions.run_shell(
        outputs = [tree],
        inputs = headers + [list_file],
        arguments = [list_file.path, tree.path],
        command = """set -eu
while read -r file path; do
  mkdir -p "$2/${path%/*}"
  cp -L "$file" "$2/$path"
done <"$1"
""",
    )
    return [DefaultInfo(files = depset([tree]), runfiles = ctx.runfiles([tree]))]

header_tree = rule(
    implementation = _header_tree_impl,
    attrs = {"deps": attr.label_list(providers = [CcInfo])},
)
