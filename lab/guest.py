#!/usr/bin/env python3
"""Runs one scenario inside a guest and leaves result.json: guest.py SCENARIO FOLDER."""

import os
import sys
import time
import traceback

# `kit` and `scenarios` are beside this file.
from kit.scenario import Lab, load, write_result
from kit.shell import LabError


def main():
    name, folder = sys.argv[1], sys.argv[2]
    lab, begin = Lab(name, folder), time.monotonic()
    outcome, why = "passed", ""
    try:
        load()[name].function(lab)
    except LabError as failed:
        outcome, why = "failed", str(failed)
        traceback.print_exc()
    except Exception as broken:  # a defect of the scenario: reported like any other failure
        outcome, why = "failed", f"{type(broken).__name__}: {broken}"
        traceback.print_exc()
    write_result(folder, outcome, why, lab, time.monotonic() - begin)
    sys.exit(0 if outcome == "passed" else 1)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
