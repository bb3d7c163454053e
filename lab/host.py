#!/usr/bin/env python3
"""Runs scenarios, each in a guest of its own, and reports. Called by scripts/lab.sh."""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from kit.scenario import load

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
PLACE = os.path.join(TARGET, "lab")
# Where scripts/lab.sh puts the programs of the project.
BIN = os.environ.get("LAB_BIN", os.path.join(PLACE, "bin"))
XSTATE = os.path.join(PLACE, "xstate.so")
# Limits of scenarios are for a machine that does nothing else.
LENIENCE = 2


def main():
    scenarios = load()
    options = arguments()
    offered = {n: s for n, s in scenarios.items() if not lacking(s)}
    if options.list:
        for name, one in scenarios.items():
            lack = lacking(one)
            print(f"{name:28} {one.title}" + (" (by name only)" if one.by_name else "")
                  + (f" (not here: no {lack})" if lack else ""))
        return
    chosen = options.scenario + options.only or [n for n in offered if not offered[n].by_name]
    unknown = [n for n in chosen if n not in scenarios]
    if unknown:
        sys.exit(f"lab: no scenario is called {unknown[0]} (--list shows them)")
    for name in chosen:
        if lacking(scenarios[name]):
            sys.exit(f"lab: {name} needs {lacking(scenarios[name])} in {BIN}")
    # What judges the wire is judged first.
    checker = os.path.join(ROOT, "lab", "kit", "check.py")
    subprocess.run([sys.executable, checker, "--self-test"], check=True)
    os.makedirs(PLACE, exist_ok=True)
    begin = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda n: run(scenarios[n], options), chosen))
    results = [again(scenarios[r["name"]], options, r) for r in results]
    finish(chosen, results, time.monotonic() - begin)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/lab.sh")
    parser.add_argument("scenario", nargs="*", help="scenarios to run; all by default")
    parser.add_argument("--only", action="append", default=[], metavar="SCENARIO",
                        help="the same; may be repeated")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--jobs", type=int, default=default_jobs(),
                        help="guests at a time (%(default)s)")
    parser.add_argument("--keep", action="store_true",
                        help="keep captures of scenarios that passed, too (logs always stay)")
    return parser.parse_args()


def default_jobs():
    return max(1, min(2, len(os.sched_getaffinity(0))))


def lacking(one):
    """The first program that a scenario needs and that has not been built."""
    for name in one.needs:
        if not os.path.exists(os.path.join(BIN, name)):
            return name
    return None


# --- one guest -----------------------------------------------------------------------------------


def run(one, options):
    folder = os.path.join(PLACE, one.name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    write(folder, "environment", "".join(
        f"{name}={shlex.quote(value)}\n"
        for name, value in (("LAB_BIN", BIN), ("LAB_ROOT", ROOT), ("LAB_SCENARIO", one.name))
    ))
    begin = time.monotonic()
    status = boot(one, folder)
    result = outcome(folder, status, LENIENCE * one.limit_s)
    result["name"] = one.name
    result["wall_s"] = round(time.monotonic() - begin, 1)
    if result["outcome"] == "passed" and not options.keep:
        drop_captures(folder)
    print(f"-- {one.name}: {result['outcome'].upper()} in {result['wall_s']:.0f} s"
          + (f": {result['why']}" if result["why"] else ""), flush=True)
    return result


def again(one, options, result):
    """A guest is one process among others: on a busy machine its clocks stand still, and what waits
    for something gives up. Such a failure is tried once more, alone. So is a replay that was accepted: a
    kernel that dies takes with it what it accepted since its last report, a few milliseconds' worth;
    twice in a row is no such accident. A number that was used twice never is one."""
    if result["outcome"] == "passed" or result["why"].startswith("P1"):
        return result
    print(f"-- {one.name}: once more, alone", flush=True)
    second = run(one, options)
    second["notes"].append(f"the first attempt failed: {result['why']}")
    if second["outcome"] == "passed":
        second["second_attempt"] = True
    return second


def boot(one, folder):
    """Boots a guest and returns the status of `timeout`: 124 or 137 if it had to be ended."""
    with open(os.path.join(folder, "console.log"), "wb") as console:
        return subprocess.run(
            [
                "timeout", "--kill-after=5", str(LENIENCE * one.limit_s), "linux.uml",
                "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"mem={one.memory}",
                "con=null", "con0=null,fd:1", "con1=null", "quiet",
                f"lab_job={folder}", f"init={os.path.join(ROOT, 'lab', 'init.sh')}",
            ],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=guest_environment(folder),
            check=False,
        ).returncode


def guest_environment(folder):
    """The guest's memory is a file in TMPDIR, in /dev/shm by default, which is small in many
    containers; then it goes beside the results."""
    env = dict(os.environ)
    shm = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None
    if shm is None or shm.f_bavail * shm.f_frsize < 3 << 30:
        env["TMPDIR"] = folder
    # Built by scripts/lab.sh where the processor has more registers than the guest's kernel knows.
    if os.path.exists(XSTATE):
        env["LD_PRELOAD"] = XSTATE
    return env


def outcome(folder, status, limit_s):
    try:
        with open(os.path.join(folder, "result.json"), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        late = status in (124, 137)
        why = (f"not done within {limit_s} s" if late else "the guest left no result")
        return {"outcome": "failed", "why": f"{why}; see guest.log and console.log in {folder}",
                "tables": [], "notes": []}


def drop_captures(folder):
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".pcap"):
                os.remove(os.path.join(place, name))


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
        out.write(text)


# --- the report ----------------------------------------------------------------------------------


def finish(chosen, results, seconds):
    for title, columns, rows in merged(results):
        print(f"\n{title}")
        for line in table(columns, rows):
            print("  " + line)
    failed = [r for r in results if r["outcome"] != "passed"]
    print()
    for result in results:
        hint = "" if result["outcome"] == "passed" else f"  {result['why']}"
        if result.get("second_attempt"):
            hint = "  at the second attempt"
        print(f"{result['name']:28} {result['outcome'].upper():7} {result['wall_s']:6.1f} s{hint}")
    print(f"\n{len(results) - len(failed)} passed, {len(failed)} failed, {seconds:.0f} s")
    path = os.path.join(PLACE, "results.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"seconds": round(seconds, 1), "scenarios": results}, out, indent=2)
    print(f"logs and figures: {PLACE}")
    sys.exit(1 if failed else 0)


def merged(results):
    """Tables of the same title and columns become one, whoever wrote their rows."""
    tables = {}
    for result in results:
        for one in result["tables"]:
            key = (one["title"], tuple(one["columns"]))
            tables.setdefault(key, []).extend(one["rows"])
    return [(title, columns, rows) for (title, columns), rows in tables.items()]


def table(columns, rows):
    cells = [list(map(str, row)) for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells))
              for i, column in enumerate(columns)]
    lines = [columns, ["-" * w for w in widths], *cells]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines]


if __name__ == "__main__":
    main()
