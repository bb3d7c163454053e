#!/usr/bin/env bash
# Finds what no compiler refuses but this project does not want:
#
#   scripts/gate.sh FOLDER        lists each finding; fails if there is one
#   scripts/gate.sh --self-test   shows that each rule finds what it forbids
set -euo pipefail

# Everywhere: a test that is switched off tests nothing, and unfinished code panics.
everywhere='#!?\[(cfg_attr\(.*)?ignore\b|\b(todo|unimplemented)!'
# In test code: a test that sleeps is slow when all is well and flaky when the machine is busy.
# tokio's sleep is fine under a paused clock, which is virtual time.
in_tests='\bthread::sleep(_ms)?\b|\bsleep_ms\b'

# The Rust files that belong to the tree in FOLDER, one on each line.
rust_files() {
  find "$1" -name target -prune -o -name .git -prune -o -name '*.rs' -print | sort
}

# Prints "file:line: text" for each finding in the files read from stdin. Test code is all of a
# file in a folder `tests` or called tests.rs, and everything after `#[cfg(test)]` elsewhere.
# Comments do not count.
findings() {
  local file
  while IFS= read -r file; do
    awk -v file="$file" '
      { code = $0; sub(/^[[:space:]]*\/\/.*/, "", code); sub(/[[:space:]]\/\/ .*/, "", code)
        print file ":" FNR ": " code }' "$file" |
      grep -P ":[0-9]+: .*($everywhere)" || true
    awk -v file="$file" '
      BEGIN { test = file ~ /\/tests\// || file ~ /\/tests\.rs$/ }
      /^[[:space:]]*#!?\[cfg\((all\()?test/ { test = 1 }
      { code = $0; sub(/^[[:space:]]*\/\/.*/, "", code); sub(/[[:space:]]\/\/ .*/, "", code) }
      test { print file ":" FNR ": " code }' "$file" |
      grep -P ":[0-9]+: .*($in_tests)" || true
  done
}

check() {
  local files found
  files=$(rust_files "$1")
  if [[ -z $files ]]; then
    echo "gate: no Rust file in $1" >&2
    return 1
  fi
  found=$(findings <<<"$files")
  if [[ -n $found ]]; then
    echo "$found"
    echo "gate: not wanted here (scripts/gate.sh says why)" >&2
    return 1
  fi
  echo "gate: $(wc -l <<<"$files") files are clean"
}

self_test() {
  local folder
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$folder'" EXIT
  mkdir -p "$folder/tests"

  must_find "$folder/a.rs" '#[ignore]'
  must_find "$folder/a.rs" '    #[ignore = "slow"]'
  must_find "$folder/a.rs" '#[cfg_attr(miri, ignore)]'
  must_find "$folder/a.rs" 'fn f() { todo!() }'
  must_find "$folder/a.rs" 'fn f() { unimplemented!("later") }'
  must_find "$folder/tests/a.rs" 'std::thread::sleep(d);'
  must_find "$folder/tests.rs" 'thread::sleep(d);'
  must_find "$folder/a.rs" $'#[cfg(test)]\nmod tests {\n    thread::sleep(d);'
  must_find "$folder/a.rs" $'#[cfg(all(test, not(loom)))]\nmod tests {\n    thread::sleep(d);'

  must_pass "$folder/a.rs" 'thread::sleep(d); // outside of tests clippy judges'
  must_pass "$folder/a.rs" '// a todo! in a comment, and #[ignore]'
  must_pass "$folder/a.rs" 'let ignore = "ignored";'
  echo "gate: the rules find what they forbid"
}

must_find() {
  echo "$2" >"$1"
  if check "$(dirname "$1")" >/dev/null 2>&1; then
    echo "gate: not found: $2" >&2
    exit 1
  fi
  rm "$1"
}

must_pass() {
  echo "$2" >"$1"
  if ! check "$(dirname "$1")" >/dev/null 2>&1; then
    echo "gate: wrongly found: $2" >&2
    exit 1
  fi
  rm "$1"
}

case ${1:-} in
  --self-test) self_test ;;
  "" | -*) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
  *) check "$1" ;;
esac
