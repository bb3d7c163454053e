#!/usr/bin/env bash
# Runs the laboratory: real kernels and real peers; see --help and lab/README.md.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

usage() {
  cat <<'TEXT'
usage: scripts/lab.sh [--list] [--only SCENARIO]... [--jobs N] [--keep] [SCENARIO...]

Runs scenarios, each in a Linux guest of its own (user-mode-linux, a process of this machine), all of
them by default, and ends with a table of figures and "N passed, M failed". The exit status is 0 only
if none failed. Root is needed: the guest works on this machine's file system. What is missing is
installed (Debian), or the script says what to install.

  --list             list the scenarios
  --only SCENARIO    run this one; may be repeated
  --jobs N           guests at a time (2, or 1 on a machine with one processor)
  --keep             keep the captures of scenarios that passed
  --no-build         take the programs in target/lab/bin as they are
  --help             this text

Logs, captures of failures and results.json are in target/lab.
TEXT
}

die() {
  echo "lab.sh: $*" >&2
  exit 2
}

# Program and the Debian package that has it.
programs=(
  "python3 python3-minimal"
  "linux.uml user-mode-linux"
  "modprobe kmod"
  "ip iproute2"
  "sysctl procps"
  "charon-systemd charon-systemd"
  "swanctl strongswan-swanctl"
  "iperf3 iperf3"
  "ping iputils-ping"
  "tcpdump tcpdump"
  "keepalived keepalived"
)
# Parts that come without a program of their own.
files=(
  "/usr/lib/ipsec/plugins/libstrongswan-ha.so libcharon-extra-plugins"
  "/usr/lib/ipsec/plugins/libstrongswan-gcm.so libstrongswan-standard-plugins"
)

# On a processor with AMX the guest's kernel needs help: see lab/xstate.c.
has_amx() {
  grep -qw amx_tile /proc/cpuinfo
}
if has_amx; then
  programs+=("cc gcc")
  files+=("/usr/include/stdio.h libc6-dev")
fi

missing() {
  local entry
  for entry in "${programs[@]}"; do
    command -v "${entry% *}" >/dev/null || echo "${entry#* }"
  done
  for entry in "${files[@]}"; do
    [[ -e ${entry% *} ]] || echo "${entry#* }"
  done
}

prepare() {
  local packages
  mapfile -t packages < <(missing)
  ((${#packages[@]})) || return 0
  command -v apt-get >/dev/null || die "missing: ${packages[*]} (names of Debian packages)"
  echo "== installing ${packages[*]}"
  apt-get update -qq || echo "apt-get update failed"
  # No service is started: the laboratory runs processes of its own, in namespaces.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
    echo "apt-get install failed"
  mapfile -t packages < <(missing)
  ((${#packages[@]} == 0)) || die "still missing: ${packages[*]}"
}

build_xstate() {
  has_amx || return 0
  mkdir -p "$target/lab"
  cc -O2 -shared -fPIC -o "$target/lab/xstate.so" lab/xstate.c
}

# Programs of the project that scenarios run. Those that the workspace does not have are left out,
# and so are the scenarios that need them.
build() {
  local bin=$target/lab/bin sctp
  mkdir -p "$bin"
  if ! command -v cargo >/dev/null; then
    echo "== no cargo: the programs in $bin are taken as they are"
    return 0
  fi
  echo "== building"
  cargo build --locked --release -p ha-transport --bin ha-identity
  install "$target/release/ha-identity" "$bin"
  if [[ -d examples/xfrm-mirror ]]; then
    sctp=$(has_sctp examples/xfrm-mirror)
    cargo build --locked --release -p xfrm-mirror ${sctp:+--features sctp}
    install "$target/release/xfrm-mirror" "$bin"
  fi
  if [[ -n $(has_sctp ha-transport) ]]; then
    install "$(test_binary conformance)" "$bin/conformance-sctp"
  fi
}

# Prints something if a crate has the feature.
has_sctp() {
  sed -n '/^sctp = /p' "$1/Cargo.toml"
}

# Builds an integration test of ha-transport with SCTP and prints where it is.
test_binary() {
  cargo test --locked --release -p ha-transport --features sctp --test "$1" --no-run \
    --message-format=json | sed -n "s|.*\"executable\":\"\([^\"]*/$1-[^\"]*\)\".*|\1|p" | tail -n 1
}

main() {
  local args=() build=yes
  while (($#)); do
    case $1 in
      --help | -h) usage && exit 0 ;;
      --no-build) build=no ;;
      --list)
        args+=("$1")
        build=no
        ;;
      *) args+=("$1") ;;
    esac
    shift
  done
  cd "$root"
  if [[ " ${args[*]} " == *" --list "* ]]; then
    command -v python3 >/dev/null || die "python3 is missing"
  else
    [[ $(id -u) -eq 0 ]] || die "root is needed (the guest writes to this machine's file system)"
    export PATH=$PATH:/usr/sbin:/sbin
    prepare
    build_xstate
    [[ $build == no ]] || build
  fi
  PYTHONDONTWRITEBYTECODE=1 exec python3 lab/host.py "${args[@]}"
}

main "$@"
