"""Starts the flow of numbered datagrams between site and lan, and reads what came of it."""

import json
import os
import signal

from . import flow
from .shell import LabError, run, stop, wait_for


class Traffic:
    """A sender in the site and an echo in the lan. Logs go to `folder`."""

    def __init__(self, pair, folder, rate, first=0, name="flow"):
        self.first = first
        self.sent_log = os.path.join(folder, f"{name}-site.json")
        self.echo_log = os.path.join(folder, f"{name}-lan.json")
        self.lan, self.site = pair.lan, pair.site
        self.echo = pair.lan.spawn(
            "python3", flow.__file__, "echo", "--log", self.echo_log, log=self.echo_log + ".err"
        )
        wait_for(self._listening, "echo in the lan")
        self.sender = pair.site.spawn(
            "python3", flow.__file__, "send", "--to", pair.net.lan, "--rate", rate,
            "--first", first, "--log", self.sent_log, log=self.sent_log + ".err",
        )

    def go(self):
        """From now on the rate."""
        self.wait_first()
        self.sender.send_signal(signal.SIGUSR1)

    def wait_first(self):
        """Waits until the first datagrams are answered. A few may be lost: not every one is."""
        wait_for(lambda: self.answered(), "answer through the tunnel", 15)
        enough = self.first * 0.98
        wait_for(lambda: self.answered() >= enough, f"first {self.first} answers", 90)
        # The sender waits for the signal only once it is through with them.
        wait_for(self._waiting, "end of the first answers", 10)

    def answered(self):
        """Echoes that the site's kernel has taken in so far."""
        lines = [line.split() for line in self.site.run("cat", "/proc/net/snmp").splitlines()]
        udp = next(int(l[1]) for l in lines if l[0] == "Udp:" and l[1].isdigit())
        lines = [line.split() for line in self.site.run("cat", "/proc/net/snmp6").splitlines()]
        return udp + next(int(l[1]) for l in lines if l[0] == "Udp6InDatagrams")

    def _waiting(self):
        with open(self.sent_log + ".err", encoding="utf-8") as file:
            return "waiting" in file.read()

    def stop(self):
        """Ends the flow and returns what it saw."""
        stop(self.sender)
        stop(self.echo)
        return Flow(read(self.sent_log), read(self.echo_log))

    def _listening(self):
        return f":{flow.PORT:04X}" in self.lan.run("cat", "/proc/net/udp6")


class Flow:
    """What a flow saw: times of CLOCK_MONOTONIC."""

    def __init__(self, site, lan):
        self.sent, self.echoed = site["sent"], site["echoed"]
        self.received = lan["received"]
        self.lost = sum(1 for e in self.echoed if e is None)
        # Replays that were delivered: to the lan, and back to the site.
        self.doubled = lan["doubled"] + site["doubled"]

    def outage(self, died, until=float("inf")):
        """(seconds, whether it ended): the longest silence after the last answer before `died`,
        looking no further than `until`."""
        last = min(self.sent[-1], until)
        times = sorted(e for e in self.echoed if e is not None)
        before = [t for t in times if t < died]
        after = [t for t in times if died <= t < last]
        marks = [before[-1] if before else died, *after, last]
        gap, end = max((late - early, late) for early, late in zip(marks, marks[1:]))
        return gap, end != last

    def answered_before(self, died):
        return sum(1 for e in self.echoed if e is not None and e < died)

    def lost_after(self, since):
        return sum(1 for s, e in zip(self.sent, self.echoed) if s >= since and e is None)

    def lost_before(self, until):
        return sum(1 for s, e in zip(self.sent, self.echoed) if s < until and e is None)


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as wrong:
        raise LabError(f"the flow left no report: {wrong}") from wrong


def ping(machine, address, count=3, interval=0.1, ns_timeout=1):
    """True if at least one echo reply came."""
    text = run("ping", "-q", "-c", count, "-i", interval, "-W", ns_timeout, address,
               ns=machine.name, check=False, timeout=30)
    return " 0 received" not in text and "received" in text
