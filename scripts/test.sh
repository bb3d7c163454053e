#!/usr/bin/env bash
# Everything that must hold before a change is merged; see --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
host=""

# Name and headline of each step, in the order in which they run: quick ones first, and those that
# share a build next to each other. Step NAME is the function step_NAME ('-' becomes '_').
steps=(
  "fmt            formatting"
  "scripts        shell scripts"
  "gate           no ignored test, no todo!, no sleep in a test"
  "deny           licences, advisories and sources of dependencies"
  "clippy         clippy, all crates and features, warnings denied"
  "doc            documentation, warnings denied"
  "test           all tests, all crates and features"
  "core-alone     ha-core without features"
  "transport-none ha-transport without a transport"
  "transport-tcp  ha-transport with tcp alone"
  "transport-quic ha-transport with quic alone"
  "transport-sctp ha-transport with sctp alone"
  "simulator      the simulator, $((${HA_SIM_SEEDS:-10000})) seeds"
  "simulator-sas  the simulator with SAs and packets, $((${HA_SIM_SEEDS:-10000})) seeds"
  "loom           loom models of what threads share"
  "fuzz           fuzz targets: build, and a bounded run over each corpus"
  "lab            the laboratory: real kernels, real peers"
)

usage() {
  cat <<TEXT
usage: scripts/test.sh [--only STEP]... [--list]

Runs all checks and ends with "N passed, M failed", counting steps; the exit status is 0 only if
none failed. A machine with Rust is enough: what else is needed is installed (Debian, as root), or
the script says what to install.

  --only STEP   run this step; may be repeated
  --list        list the steps
  --help        this text

  HA_SIM_SEEDS  seeds of the simulator (10000)
  HA_FUZZ_RUNS  runs of each fuzz target (20000)
TEXT
}

# --- the steps -----------------------------------------------------------------------------------
# Each runs in a subshell with `set -e` in the root folder.

step_fmt() {
  cargo fmt --all --check
  (cd fuzz && cargo fmt --check)
}

step_scripts() {
  local script
  for script in scripts/*.sh lab/*.sh .ci/run; do
    bash -n "$script"
  done
  if ! command -v shellcheck >/dev/null; then
    skip "shellcheck is not installed: only the syntax was checked"
    return 0
  fi
  shellcheck scripts/*.sh lab/*.sh .ci/run
}

step_gate() {
  scripts/gate.sh --self-test
  scripts/gate.sh .
}

step_deny() {
  if ! cargo deny --version >/dev/null 2>&1; then
    skip "cargo-deny is not installed (cargo install cargo-deny)"
    return 0
  fi
  cargo deny check
}

step_clippy() {
  cargo clippy --locked --workspace --all-features -- -D warnings
  # In tests an unwrap is a check.
  cargo clippy --locked --workspace --all-targets --all-features -- -D warnings -A clippy::unwrap_used
}

step_doc() {
  RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --all-features --no-deps
}

step_test() {
  cargo test --locked --workspace --all-features
}

step_core_alone() {
  cargo clippy --locked -p ha-core --no-default-features --all-targets -- -D warnings -A clippy::unwrap_used
}

step_transport_none() {
  transport_with ""
}

step_transport_tcp() {
  transport_with tcp
}

step_transport_quic() {
  transport_with quic
}

# Where the kernel has no SCTP, the tests of links say that they tested nothing; the laboratory runs them
# on a kernel that has it.
step_transport_sctp() {
  transport_with sctp
}

# With one feature of ha-transport alone, or none: clippy and tests.
transport_with() {
  local args=(--locked -p ha-transport --no-default-features --features "$1")
  cargo clippy "${args[@]}" --all-targets -- -D warnings -A clippy::unwrap_used
  cargo test "${args[@]}"
}

step_simulator() {
  cargo run --locked --release -p ha-core --features sim --example simulate -- \
    --seeds "${HA_SIM_SEEDS:-10000}"
}

step_simulator_sas() {
  cargo run --locked --release -p ha-ipsec --features sim --example simulate-ipsec -- \
    --seeds "${HA_SIM_SEEDS:-10000}"
}

# A folder of its own, since other RUSTFLAGS would rebuild everything at each change.
step_loom() {
  local log="$target/loom.log"
  CARGO_TARGET_DIR="$target/loom" RUSTFLAGS="--cfg loom" \
    cargo test --locked -p ha-core -p ha-ipsec --release --lib loom_ |& tee "$log"
  # A renamed module would leave nothing to run, and that counts as success in cargo's eyes.
  if (($(grep -cE '^test result: ok\. [1-9]' "$log") != 2)); then
    echo "loom models of ha-core or of ha-ipsec did not run" >&2
    return 1
  fi
}

# Kernels that have ESP and SCTP are guests; see lab/README.md.
step_lab() {
  if [[ $(id -u) -ne 0 || $(uname -s) != Linux ]] || ! command -v apt-get >/dev/null; then
    skip "the laboratory takes root on Debian"
    return 0
  fi
  # One guest at a time: two on two processors take time from each other, and here all must pass.
  scripts/lab.sh --jobs 1
}

# The flags of cargo-fuzz, less the address sanitizer: these work with a stable compiler, and the
# only unsafe code, the system calls in ha-transport/src/sctp/socket.rs, is behind no target: there is
# nothing for the sanitizer to watch. `--target` keeps them from build scripts.
step_fuzz() {
  local flags=(
    --cfg fuzzing
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
  )
  local folder="$target/fuzz" file
  CARGO_TARGET_DIR="$folder" RUSTFLAGS="${flags[*]}" \
    cargo build --locked --release --bins --manifest-path fuzz/Cargo.toml --target "$host"
  for file in fuzz/fuzz_targets/*.rs; do
    run_fuzz_target "$(basename "$file" .rs)" "$folder/$host/release"
  done
}

run_fuzz_target() {
  local name=$1 binaries=$2 corpus="fuzz/corpus/$1" artifacts="fuzz/artifacts/$1/" scratch log
  if [[ -z $(ls -A "$corpus" 2>/dev/null) ]]; then
    echo "$corpus is missing or empty: give the target seeds (fuzz/README.md)" >&2
    return 1
  fi
  mkdir -p "$artifacts"
  # The seed is fixed: a gate says the same twice. Exploring is for people (fuzz/README.md).
  # What is found goes to a scratch folder: the committed corpus stays as it is.
  scratch=$(mktemp -d)
  log="$scratch.log"
  echo "-- $name"
  local status=0
  "$binaries/$name" -seed=1 -runs="${HA_FUZZ_RUNS:-20000}" -max_total_time=120 -timeout=20 \
    -rss_limit_mb=2048 -verbosity=1 -artifact_prefix="$artifacts" "$scratch" "$corpus" \
    >"$log" 2>&1 || status=$?
  if ((status == 0)) && ! grep -q 'inline 8-bit counters' "$log"; then
    echo "the target was built without coverage instrumentation" >&2
    status=1
  fi
  if ((status == 0)); then
    tail -n 1 "$log"
  else
    cat "$log" >&2
    echo "fuzz target $name failed; its input is in $artifacts" >&2
  fi
  rm -rf "$scratch" "$log"
  return "$status"
}

# --- what must be there --------------------------------------------------------------------------

prepare() {
  command -v cargo >/dev/null || die "Rust is missing: install it from https://rustup.rs"
  host=$(rustc -vV | sed -n 's/^host: //p')
  install_components
  install_packages
}

install_components() {
  local name missing=()
  cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
  cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
  ((${#missing[@]})) || return 0
  command -v rustup >/dev/null || die "missing: ${missing[*]}; install them beside Rust"
  for name in "${missing[@]}"; do
    rustup component add "$name"
  done
}

# gcc: C code of the TLS provider; g++: libFuzzer; ip: tests in network namespaces. shellcheck is
# welcome, not needed.
install_packages() {
  local needed=() wanted=()
  [[ $(uname -s) != Linux ]] || command -v ip >/dev/null || needed+=(iproute2)
  command -v cc >/dev/null || needed+=(gcc libc6-dev)
  command -v c++ >/dev/null || needed+=(g++)
  command -v shellcheck >/dev/null || wanted+=(shellcheck)
  ((${#needed[@]} + ${#wanted[@]})) || return 0
  if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
    apt_install "${needed[@]}" "${wanted[@]}"
  elif ((${#needed[@]})); then
    die "missing packages; install them: sudo apt-get install ${needed[*]} ${wanted[*]}"
  fi
}

# Failing to install what is only welcome is no failure; what is needed is looked for again.
apt_install() {
  headline "installing $*"
  (apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null) ||
    echo "apt-get failed"
  if ! command -v cc >/dev/null || ! command -v c++ >/dev/null; then
    die "a C and a C++ compiler are needed: apt-get install gcc g++ libc6-dev"
  fi
}

# --- running and reporting -----------------------------------------------------------------------

bold="" red="" green="" yellow="" plain=""
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
fi

die() {
  echo "test.sh: $*" >&2
  exit 2
}

headline() {
  printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

# A step that cannot run here says so and succeeds. Not by a status of its own: any program that a
# step runs may end with that (77 is libFuzzer's for a crash).
skip() {
  echo "$*" | tee "$target/skipped"
}

run_step() {
  local name=$1 title=$2 begin=$SECONDS status
  rm -f "$target/skipped"
  headline "$name: $title"
  # Not `if step`: a condition would switch `set -e` off inside the step.
  set +e
  (
    set -e
    "step_${name//-/_}"
  )
  status=$?
  set -e
  local took=$((SECONDS - begin))
  if ((status != 0)); then
    record "$name" "$took" FAILED "$red" "rerun: scripts/test.sh --only $name"
  elif [[ -e $target/skipped ]]; then
    record "$name" "$took" skipped "$yellow" "$(<"$target/skipped")"
  else
    record "$name" "$took" passed "$green" ""
  fi
}

table=""
passed=0
failed=0
record() {
  local name=$1 took=$2 outcome=$3 colour=$4 hint=$5 line
  case $outcome in
    passed) passed=$((passed + 1)) ;;
    FAILED) failed=$((failed + 1)) ;;
  esac
  printf -v line '%-15s %s%-8s%s %3d:%02d  %s' \
    "$name" "$colour" "$outcome" "$plain" $((took / 60)) $((took % 60)) "$hint"
  echo "-- $line"
  table+="$line"$'\n'
}

summary() {
  headline "summary"
  printf '%-15s %-8s %6s\n%s' step outcome min:s "$table"
  printf '%-15s %-8s %3d:%02d\n\n' all "" $((SECONDS / 60)) $((SECONDS % 60))
  echo "$passed passed, $failed failed"
}

known() {
  local step
  for step in "${steps[@]}"; do
    [[ ${step%% *} == "$1" ]] && return
  done
  return 1
}

main() {
  local only=" " step name title
  while (($#)); do
    case $1 in
      --help | -h) usage && exit 0 ;;
      --list) printf '%s\n' "${steps[@]}" && exit 0 ;;
      --only)
        (($# > 1)) || die "--only needs the name of a step (--list shows them)"
        known "$2" || die "no step is called $2 (--list shows them)"
        only+="$2 "
        shift
        ;;
      *) usage >&2 && die "unknown argument: $1" ;;
    esac
    shift
  done
  cd "$root"
  prepare
  mkdir -p "$target"
  for step in "${steps[@]}"; do
    read -r name title <<<"$step"
    [[ $only == " " || $only == *" $name "* ]] || continue
    run_step "$name" "$title"
  done
  summary
  ((failed == 0))
}

main "$@"
