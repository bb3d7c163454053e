#!/usr/bin/env bash
# Measures everything in one run and prints a table; see --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'TEXT'
usage: scripts/bench.sh core|ipsec [--quick] [--only SUITE]
       scripts/bench.sh takeover

Builds the benchmark in release mode, runs every suite of an area in one run on this machine, prints
a table and writes it to target/bench/AREA.json. The yardstick of core is a real Redis: redis-server
is installed if it is missing (Debian, as root), or the script says what to install.

  core          the replication core and its links
  ipsec         the tables and the packet path of a gateway, beside AES-GCM and locks
  takeover      takeovers on real kernels with strongSwan's ha plugin, without and with xfrm-mirror;
                xfrm-mirror under load, and its takeover of 10 000 SAs
                (scripts/lab.sh: as root on Debian; writes target/lab/results.json)
  --quick       100 000 entries instead of 1 000 000: about a tenth of the time, rough figures
  --only SUITE  one suite; a row that is compared with another suite's row gets no verdict
  --help        this text

Nothing else should run meanwhile: the table names the load of the minute before.
TEXT
}

die() {
  echo "bench.sh: $*" >&2
  exit 2
}

install_redis() {
  command -v redis-server >/dev/null && return
  if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    die "redis-server is missing; install it: sudo apt-get install redis-server"
  fi
  echo "== installing redis-server"
  apt-get update -qq
  # The service is not started: the benchmark runs processes of its own.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends redis-server >/dev/null
}

# A network of its own, where the system allows it: what others send over loopback would count as
# bytes on the wire.
isolate() {
  if [[ $(id -u) -eq 0 ]] && unshare --net true 2>/dev/null; then
    unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
  elif unshare --map-root-user --net true 2>/dev/null; then
    unshare --map-root-user --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
  else
    echo "== no network namespace: bytes on the wire include what other programs send" >&2
    "$@"
  fi
}

main() {
  local area="" args=()
  while (($#)); do
    case $1 in
      --help | -h) usage && exit 0 ;;
      --quick) args+=("$1") ;;
      --only)
        (($# > 1)) || die "--only needs the name of a suite"
        args+=("$1" "$2")
        shift
        ;;
      takeover)
        [[ -z $area && ${#args[@]} -eq 0 && $# -eq 1 ]] || die "takeover takes no arguments"
        # One guest at a time: two take time from each other, and shares of a processor are measured.
        exec "$root/scripts/lab.sh" --jobs 1 \
          strongswan-ha-alone strongswan-ha-mirror load takeover-cost
        ;;
      core | ipsec)
        [[ -z $area ]] || die "one area at a time"
        area=$1
        ;;
      *) usage >&2 && die "unknown argument: $1" ;;
    esac
    shift
  done
  [[ -n $area ]] || { usage >&2 && die "what to measure is missing: core, ipsec or takeover"; }

  [[ $area != core ]] || install_redis
  cd "$root"
  export HA_BENCH_COMMIT
  HA_BENCH_COMMIT=$(git describe --always --dirty 2>/dev/null || true)
  echo "== building"
  cargo build --release --locked -p ha-bench
  isolate "${CARGO_TARGET_DIR:-target}/release/ha-bench" "$area" "${args[@]}" --out "target/bench/$area.json"
}

main "$@"
