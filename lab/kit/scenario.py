"""What a scenario is: a function, found by name, that reports figures and fails by raising."""

import importlib
import json
import os
import pkgutil
import sys


class Scenario:
    def __init__(self, name, function, title, limit_s, memory, needs, by_name):
        self.name = name
        self.function = function
        self.title = title
        self.limit_s = limit_s
        self.memory = memory
        self.needs = needs
        self.by_name = by_name


SCENARIOS = {}


def scenario(name, title, limit_s=90, memory="512M", needs=(), by_name=False):
    """Enters a function into the list.

    `limit_s` bounds the whole guest, boot included. `needs` names programs of the project: without
    them the scenario is not offered. One that is run `by_name` only measures, and is left out when
    all are run.
    """

    def enter(function):
        SCENARIOS[name] = Scenario(name, function, title, limit_s, memory, needs, by_name)
        return function

    return enter


class Lab:
    """What a scenario gets: a folder for its logs, and tables for its figures."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.tables = []
        self.notes = []

    def path(self, *names):
        place = os.path.join(self.folder, *names)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        return place

    def row(self, table, **cells):
        """Adds a row to a table; all rows of a table have the same columns. Kept even if the
        scenario fails later."""
        for known in self.tables:
            if known["title"] == table:
                known["rows"].append(list(cells.values()))
                break
        else:
            self.tables.append(
                {"title": table, "columns": list(cells), "rows": [list(cells.values())]}
            )
        print(f"{table}: {cells}", flush=True)

    def note(self, text):
        self.notes.append(text)
        print(text, flush=True)


def load():
    """Imports every module in lab/scenarios; each enters what it has."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, here)
    for module in sorted(m.name for m in pkgutil.iter_modules([os.path.join(here, "scenarios")])):
        importlib.import_module(f"scenarios.{module}")
    return SCENARIOS


def write_result(folder, outcome, why, lab, seconds):
    report = {
        "outcome": outcome,
        "why": why,
        "seconds": round(seconds, 1),
        "tables": lab.tables,
        "notes": lab.notes,
    }
    with open(os.path.join(folder, "result.json"), "w", encoding="utf-8") as out:
        json.dump(report, out, indent=2)
