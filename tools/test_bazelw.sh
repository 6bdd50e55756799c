#!/usr/bin/env bash
# Tests bazelw from outside, in a workspace of its own: exit codes, arguments, Ctrl-C, which Bazel is used, what it says
# when it cannot go on, and that nothing is left behind. Takes seconds where Bazel or the build root is there already.
# shellcheck disable=SC2016  # much is expanded by an inner shell
set -uo pipefail

checkout=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
source "$checkout/tools/root/common.sh"
unset KO_BAZELW_ASKS

work=$(mktemp -d /tmp/test_bazelw.XXXXXX)
name=${work##*/}
readonly work name
mkdir "$work/bin" "$work/space" "$work/space/folder"
chmod 755 "$work"
bazelw() { "$checkout/bazelw" --output_base="$work/base" "$@"; }
finish() {
  (cd "$work/space" && bazelw shutdown) 2>/dev/null
  chmod -R u+w "$work"
  rm -rf --one-file-system "$work" "/dev/shm/${name:?}" "/var/${name:?}"
}
trap finish EXIT
trap 'exit 130' INT

# A workspace whose programs are scripts, so that nothing is compiled.
cat >"$work/space/.bazelrc" <<'RC'
common --lockfile_mode=off --noshow_progress --ui_event_filters=-info
build --show_result=0
RC
echo 'module(name = "space")' >"$work/space/MODULE.bazel"
cat >"$work/space/script.bzl" <<'BZL'
def _script(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(program, "#!/usr/bin/env bash\n" + ctx.attr.text, is_executable = True)
    return DefaultInfo(executable = program)

script = rule(implementation = _script, executable = True, attrs = {"text": attr.string()})
script_test = rule(implementation = _script, test = True, attrs = {"text": attr.string()})
BZL
cat >"$work/space/BUILD" <<'BUILD'
load(":script.bzl", "script", "script_test")

script_test(name = "passes", text = "exit 0")
script_test(name = "fails", text = "exit 1")
script(name = "seven", text = "exit 7")
script(name = "arguments", text = "printf '<%s>' \"$@\"")
script(name = "shell", text = "eval \"$1\"")
BUILD
cd "$work/space" || exit 1

fail() {
  echo "  $*" >&2
  exit 1
}
# expect_code CODE COMMAND...
expect_code() {
  local wanted=$1 code=0 said
  shift
  said=$("$@" 2>&1) || code=$?
  ((code == wanted)) || fail "exit code $code, not $wanted, of: $* ($said)"
}
# expect WANTED COMMAND...: what the command prints, errors included, matches the pattern.
expect() {
  local wanted=$1 said
  shift
  said=$("$@" 2>&1)
  # shellcheck disable=SC2053  # a pattern is meant
  [[ $said == $wanted ]] || fail "'$said' is not '$wanted', of: $*"
}
# expect_sentence PATTERN COMMAND...: the command fails, and its last line is one sentence of bazelw that matches.
expect_sentence() {
  local wanted=$1 said code=0
  shift
  said=$("$@" 2>&1) || code=$?
  ((code == 1)) || fail "exit code $code, not 1, of: $*"
  # shellcheck disable=SC2053
  [[ ${said##*$'\n'} == bazelw:\ $wanted ]] || fail "'${said##*$'\n'}' is not '$wanted', of: $*"
}
# until_true COMMAND...: waits for it, for a minute at most.
until_true() {
  local deadline=$((SECONDS + 60))
  until "$@"; do
    ((SECONDS < deadline)) || fail "never true: $*"
    sleep 0.05
  done
}
fake_bazel() {
  mkdir -p "$work/$1"
  printf '#!/bin/sh\n[ "$1" = --version ] && echo "bazel %s" || echo "fake %s: $*"\n' "$2" "$2" >"$work/$1/bazel"
  chmod 755 "$work/$1/bazel"
}

works_from_a_folder_below() {
  cd folder || fail 'no folder'
  expect "$work/space" bazelw info workspace
}

works_through_a_symbolic_link() {
  ln -s "$checkout/bazelw" "$work/bin/linked"
  expect "$work/space" "$work/bin/linked" --output_base="$work/base" info workspace
}

exit_codes_are_bazels() {
  expect_code 0 bazelw test //:passes
  expect_code 1 bazelw build //:nowhere
  expect_code 2 bazelw no-such-command
  expect_code 3 bazelw test //:fails
  expect_code 7 bazelw run //:seven
}

arguments_arrive_as_they_are() {
  expect $'<a b><c\nd><><$e\'*>' bazelw run //:arguments -- 'a b' $'c\nd' '' "\$e'*"
}

programs_see_the_real_machine() {
  cd folder || fail 'no folder'
  expect "$work/space/folder" bazelw run //:shell -- 'printf %s "$BUILD_WORKING_DIRECTORY"'
  bazelw run //:shell -- "echo shm >/dev/shm/$name; echo tmp >$work/from_program; touch $HOME/.$name" || fail "run failed"
  [[ $(<"/dev/shm/$name") == shm && $(<"$work/from_program") == tmp && -e $HOME/.$name ]] || fail "files are missing"
  rm "$HOME/.$name"
  expect "$$" bazelw run //:shell -- "cut -d' ' -f1 /proc/$$/stat"
}

control_c_reaches_the_program_and_leaves_the_terminal_sane() {
  local screen=$work/screen
  mkfifo "$work/keys"
  export -f bazelw
  export checkout work
  cat >"$work/session" <<'SESSION'
trap : INT
before=$(stty -g)
bazelw run //:shell -- 'trap "echo interrupted; exit 9" INT; tty; echo on the terminal; while :; do sleep 0.1; done'
echo "code $?"
[[ $(stty -g) == "$before" ]] && echo "terminal as before"
bazelw run //:shell -- 'echo second call'
SESSION
  # The functions that are exported above come through no other shell, and script takes the caller's.
  env --default-signal SHELL="$BASH" script -qefc "bash $work/session" /dev/null <"$work/keys" >"$screen" 2>&1 &
  exec 8>"$work/keys"
  until_true grep -qs 'on the terminal' "$screen"
  printf '\003' >&8
  until_true grep -qs 'second call' "$screen"
  exec 8>&-
  wait $!
  for line in /dev/pts/ interrupted 'code 9' 'terminal as before'; do
    grep -q "$line" "$screen" || fail "no '$line' in: $(<"$screen")"
  done
}

a_new_bazel_on_the_path_is_used() {
  fake_bazel old 6.5.0
  fake_bazel new 8.1.0
  unset KO_FORCE_BUILD_ROOT
  PATH=$work/new:$PATH expect 'fake 8.1.0: info a b' "$checkout/bazelw" info 'a b'
  PATH=$work/old:$work/new:$PATH expect 'fake 8.1.0: info' "$checkout/bazelw" info
}

an_old_bazel_on_the_path_is_not_used() {
  fake_bazel old 6.5.0
  PATH=$work/old:$PATH expect "$work/space" bazelw info workspace
}

bazelw_on_the_path_as_bazel_does_not_ask_itself() {
  mkdir "$work/self"
  ln -s "$checkout/bazelw" "$work/self/bazel"
  # timeout, for a row of processes that ask one another has no end
  PATH=$work/self:$PATH expect "$work/space" timeout 30 "$checkout/bazelw" --output_base="$work/base" info workspace
}

help_tells_the_state_of_the_root() {
  local KO_BUILD_ROOT=other
  export KO_BUILD_ROOT
  expect "*build root   $PWD/other/root (not made yet)*" "$checkout/bazelw" --help-root
  mkdir -p other/root/ko
  expect '* (not finished: *' "$checkout/bazelw" --help-root
  echo other >other/root/ko/ready
  expect '* (from another recipe: *' "$checkout/bazelw" --help-root
  recipe >other/root/ko/ready
  expect '* (ready)*' "$checkout/bazelw" --help-root
}

# From here on: the build root, so as root and with no other Bazel.

says_what_is_missing() {
  local copy=$work/copy
  mkdir -p "$copy"
  cp -r "$checkout/bazelw" "$checkout/tools" "$copy"
  chmod -R go+rX "$copy"
  export KO_BUILD_ROOT=$work/other
  expect_sentence '*takes root*' setpriv --reuid=65534 --regid=65534 --clear-groups "$copy/bazelw" version
  expect_sentence '*the right to mount*' setpriv --bounding-set=-sys_admin "$copy/bazelw" version
  expect_sentence "cannot write to the folder /proc/none *" env KO_BUILD_ROOT=/proc/none "$copy/bazelw" version
  mkdir "$work/small"
  expect_sentence 'the disk is too full: *' env KO_BUILD_ROOT="$work/small" unshare --mount bash -c '
    mount -t tmpfs -o size=100m small "$KO_BUILD_ROOT" && exec "$0" version' "$copy/bazelw"
  echo 'Acquire::Retries "0";' >"$work/apt.conf"
  expect_sentence "Debian's packages could not be fetched: *" env APT_CONFIG="$work/apt.conf" unshare --net "$copy/bazelw" version
}

# A copy of the checkout whose first stage starts a process, says so, and hangs.
an_interrupted_set_up_leaves_no_process() {
  local copy=$work/hangs signal set_up
  mkdir "$copy"
  cp -r "$checkout/bazelw" "$checkout/tools" "$copy"
  sed -i 's/^readonly needed_megabytes=.*/readonly needed_megabytes=0/' "$copy/tools/root/common.sh"
  printf '#!/bin/sh\nsetsid sleep 1000003 &\necho started\nwait\n' >"$copy/tools/root/base.sh"
  export KO_BUILD_ROOT=$work/hanging
  for signal in INT TERM HUP KILL; do
    env --default-signal "$copy/tools/root/make.sh" 2>"$work/said" &  # a shell lets its background jobs ignore SIGINT
    set_up=$!
    until_true grep -qs started "$KO_BUILD_ROOT/set-up.log"
    kill -"$signal" "$set_up"
    wait "$set_up" 2>/dev/null
    flock --timeout 60 "$KO_BUILD_ROOT/lock" true || fail "the lock is held after SIG$signal"
    ! grep -qsaz 1000003 /proc/[0-9]*/cmdline || fail "a process lives on after SIG$signal"
    [[ $signal == KILL ]] || grep -q 'interrupted during: ' "$work/said" || fail "no word after SIG$signal"
    rm "$KO_BUILD_ROOT/set-up.log"
  done
}

the_callers_folders_are_bound_wherever_they_are() {
  local HOME=/var/$name KO_BUILD_ROOT=$cache
  export HOME KO_BUILD_ROOT
  mkdir "$HOME"
  echo mine >"$HOME/file"
  for call in first second; do
    expect mine "$checkout/tools/root/enter.sh" cat "$HOME/file" || fail "in the $call call"
  done
  expect "$(getent passwd 0 | cut -d: -f6)" env -u HOME "$checkout/tools/root/enter.sh" printenv HOME
  rmdir "$root$HOME"
}

the_server_holds_no_lock() {
  local server
  server=$(bazelw info server_pid 2>/dev/null)
  [[ $server =~ ^[0-9]+$ ]] || fail "no server"
  ! find "/proc/$server/fd" -lname "$cache/lock" 2>/dev/null | grep . || fail "the server holds the lock of the set-up"
}

nothing_is_mounted_on_the_machine() {
  ! grep -F -e "$root" -e "$work" /proc/self/mounts || fail "mounts are left"
}

tests=(works_from_a_folder_below works_through_a_symbolic_link exit_codes_are_bazels arguments_arrive_as_they_are
  programs_see_the_real_machine control_c_reaches_the_program_and_leaves_the_terminal_sane
  a_new_bazel_on_the_path_is_used an_old_bazel_on_the_path_is_not_used bazelw_on_the_path_as_bazel_does_not_ask_itself
  help_tells_the_state_of_the_root)
if [[ $(id -u) == 0 ]] && ! bazel_on_path >/dev/null; then
  tests+=(says_what_is_missing an_interrupted_set_up_leaves_no_process the_callers_folders_are_bound_wherever_they_are
    the_server_holds_no_lock nothing_is_mounted_on_the_machine)
else
  echo "without the tests of the build root: they take root, and no Bazel on PATH"
fi

passed=0 failed=0
bazelw version >/dev/null 2>&1  # makes the root, where need be, and starts the server: not a part of any test
for test in "${tests[@]}"; do
  if ("$test"); then
    passed=$((passed + 1))
  else
    echo "FAILED: $test"
    failed=$((failed + 1))
  fi
done
echo "bazelw: $passed passed, $failed failed"
((failed == 0))
