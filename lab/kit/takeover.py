"""Measures one takeover: traffic, death of the active unit, an attacker, and what the wire and the
peer's kernel saw. The same code with and without the daemon."""

import re
import signal
import time

from . import check, net, replay, xfrm
from .capture import Capture
from .shell import expect, spawn, stop, wait_for
from .traffic import Traffic


class Outcome:
    """What one takeover cost."""

    def __init__(self, flow, died, drops, replayed, wire):
        self.before = flow.answered_before(died)
        self.sent = sum(1 for s in flow.sent if s >= died)
        self.lost = flow.lost_after(died)
        self.outage, self.recovered = flow.outage(died)
        self.drops = drops
        self.replayed = replayed
        self.accepted = flow.doubled
        self.reused = wire["reused"]

    def cells(self):
        """Cells of a row. An outage that lasted until the end is marked with ">"."""
        return {
            "packets before": self.before,
            "sent after": self.sent,
            "lost": self.lost,
            "dropped as replay by the peer": self.drops,
            "seconds without traffic": f"{'' if self.recovered else '>'}{self.outage:.2f}",
            "replays injected": self.replayed,
            "replays accepted": self.accepted,
            "numbers reused": self.reused,
        }


def measure(lab, gateways, before, patience_s, name="takeover", event=None):
    """Sends `before` packets and their echoes, lets the active unit die while more flow, and
    watches for `patience_s` at most until traffic is back. From the death on, an attacker on the
    outer network replays what the peer had sent last.

    `event` may replace the death: it returns the time at which trouble began.
    """
    pair, name = gateways.pair, f"{name}-{before}"
    pcap = lab.path(f"{name}.pcap")
    capture = Capture("peer-outer", pcap)
    drops_before = xfrm.replay_drops(pair.peer)
    traffic = Traffic(pair, lab.folder, RATE, first=before, name=name)
    traffic.wait_first()
    attacker = Attacker(lab, pair, 1 - gateways.active, pcap)
    traffic.go()
    wait_for(lambda: traffic.answered() >= before + 20, "traffic at the rate")
    for mirror in gateways.mirrors:
        if mirror:
            lab.note(f"{mirror.machine.name}: {mirror.status()}")
            lab.note(mirror.machine.run("ip", "-s", "xfrm", "state"))
    attacker.begin()
    died = (event or gateways.fail_over)()
    lab.note("at takeover\n" + gateways.pair.gateways[gateways.active].run("ip", "-s", "xfrm", "state"))
    recovered = watch(traffic, patience_s)
    lab.note("later\n" + gateways.pair.gateways[gateways.active].run("ip", "-s", "xfrm", "state"))
    flow, replayed = traffic.stop(), attacker.end()
    expect(capture.stop() == 0, "the capture lost packets: its verdict would mean nothing")
    wire = check.check(pcap, replay.octets(replay.SOURCE))
    expect(wire["packets"] >= before, "the traffic went around the tunnel")
    lab.note(f"{name}: recovered {recovered}, wire {wire}")
    drops = xfrm.replay_drops(pair.peer) - drops_before
    return Outcome(flow, died, drops, replayed, wire)


def watch(traffic, patience_s):
    """True when 100 answers more have come within `patience_s`."""
    answered = traffic.answered()
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if traffic.answered() >= answered + 100:
            return True
        time.sleep(0.1)
    return False


def expect_seamless(outcome, outage_s):
    """What the daemon promises: no number twice, no replay delivered, nothing refused by the peer,
    and a short outage."""
    expect(outcome.reused == 0, f"P1: {outcome.reused} sequence numbers were used twice")
    expect(outcome.accepted == 0, f"P2: {outcome.accepted} replays were delivered")
    expect(outcome.drops == 0, f"the peer dropped {outcome.drops} packets as replays")
    expect(outcome.recovered, "traffic did not come back")
    expect(outcome.outage <= outage_s,
           f"no traffic for {outcome.outage:.2f} s (at most {outage_s})")


class Attacker:
    """Replays captured packets at a gateway, from `begin` on, for a second and a half."""

    def __init__(self, lab, pair, unit, pcap):
        self.log = lab.path("attacker.log")
        open(self.log, "w", encoding="utf-8").close()
        self.process = spawn(
            "python3", replay.__file__, pcap, "outer",
            "--to", net.mac(pair.gateways[unit], "outer"), "--dst", pair.net.outer, log=self.log,
        )
        wait_for(lambda: "ready" in self._text(), "replayer")

    def begin(self):
        self.process.send_signal(signal.SIGUSR1)

    def end(self):
        """Waits for the end and returns how many packets were replayed."""
        stop(self.process)
        return int(re.search(r"sent (\d+)", self._text())[1])

    def _text(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read()


RATE = 500
