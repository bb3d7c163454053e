"""A takeover between two gateways with strongSwan's `ha` plugin, with or without the daemon.

The same code runs both columns of the comparison: without a daemon the virtual addresses are moved
by hand the moment the active unit is dead, which is kinder than any failure detection; with a
daemon, the daemon has to notice and to move them.
"""

import re
import signal
import time

from . import check, net, replay, strongswan, xfrm
from .capture import Capture
from .mirror import Mirror, wait_in_sync
from .shell import expect, spawn, stop, wait_for
from .topology import HA, SYNC
from .traffic import Traffic

class Gateways:
    """strongSwan with the `ha` plugin on both gateways and plain strongSwan on the peer."""

    def __init__(self, lab, pair, esp="aes128gcm16-noesn", window=32, settings=None,
                 identities=None, encap=False):
        self.lab, self.pair = lab, pair
        self.esp, self.window, self.encap = esp, window, encap
        self.settings, self.identities = settings, identities
        self.charons, self.mirrors = [None, None], [None, None]
        self.active = 0
        self.peer = strongswan.Charon(pair.peer, lab.folder)

    def start(self):
        """Both gateways up, gw-a active, the tunnel set up by the peer and known to both."""
        a = self.pair.net
        for unit in (0, 1):
            self.start_unit(unit)
        if self.settings:
            # The daemons settle first: they say who has the virtual addresses.
            wait_for(lambda: self.mirrors[0].active(), "active daemon in gw-a", 20)
        else:
            self.pair.take_address(0)
        self.peer.start(strongswan.connection(
            a.peer, a.outer, a.remote_net, a.local_net, "peer", "gateway",
            self.esp, self.window, self.encap,
        ))
        self.wait_responsible(0)
        self.peer.initiate()
        wait_for(lambda: xfrm.count(self.pair.gateways[1]) >= 2, "SAs on the standby", 10)
        if self.settings:
            wait_in_sync(self.mirrors)

    def start_unit(self, unit):
        a, machine = self.pair.net, self.pair.gateways[unit]
        charon = strongswan.Charon(
            machine, self.lab.folder, strongswan.ha_settings(HA[unit], HA[1 - unit])
        )
        charon.start(strongswan.connection(
            a.outer, a.peer, a.local_net, a.remote_net, "gateway", "peer",
            self.esp, self.window, self.encap,
        ))
        self.charons[unit] = charon
        if self.settings:
            mirror = Mirror(machine, unit, self.identities, self.lab.folder, self.settings,
                            SYNC, a)
            mirror.start()
            self.mirrors[unit] = mirror

    def wait_responsible(self, unit):
        """Waits until strongSwan on `unit` has taken the segment: until then it ignores IKE."""
        log = self.lab.path(self.pair.gateways[unit].name, "charon.log")

        def taken():
            with open(log, encoding="utf-8", errors="replace") as file:
                return "activated, now active: 1" in file.read()

        wait_for(taken, f"segment 1 on {self.pair.gateways[unit].name}", 15)

    def fail_over(self):
        """The active unit dies; returns the time of death once the other has the addresses."""
        dead, heir = self.active, 1 - self.active
        died = time.monotonic()
        self.pair.crash(dead)
        if self.settings:
            wait_for(lambda: self.holds_address(heir), "virtual address on the new active unit")
        else:
            self.pair.take_address(heir)
        self.active = heir
        return died

    def holds_address(self, unit):
        """True if the virtual addresses are on a unit, whoever put them there."""
        text = self.pair.gateways[unit].run("ip", "-o", "addr", "show")
        return all(f" {a}/" in text for _, a, _ in self.pair.net.addresses())

    def rejoin(self, unit):
        """A dead unit comes back with empty memory and waits to be in sync."""
        self.pair.boot(unit)
        self.start_unit(unit)
        wait_for(lambda: xfrm.count(self.pair.gateways[unit]) >= 2, "SAs on the new standby", 15)
        if self.settings:
            wait_in_sync(self.mirrors)

    def kill(self):
        for process in (*self.mirrors, *self.charons, self.peer):
            if process:
                process.kill()


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


def measure(lab, pair, gateways, before, patience_s, name=None):
    """Sends `before` packets and their echoes, lets the active unit die while more flow, and
    watches for `patience_s` at most until traffic is back. From the death on, an attacker on the
    outer network replays what the peer had sent last."""
    name = name or f"takeover-{before}"
    pcap = lab.path(f"{name}.pcap")
    capture = Capture("peer-outer", pcap)
    drops_before = xfrm.replay_drops(pair.peer)
    traffic = Traffic(pair, lab.folder, RATE, first=before, name=name)
    wait_for(lambda: traffic.answered() >= before, f"first {before} answers", 90)
    attacker = Attacker(lab, pair, 1 - gateways.active, pcap)
    traffic.go()
    wait_for(lambda: traffic.answered() >= before + 20, "traffic at the rate")
    attacker.begin()
    died = gateways.fail_over()
    recovered = watch(traffic, patience_s)
    flow, replayed = traffic.stop(), attacker.end()
    expect(capture.stop() == 0, "the capture lost packets: its verdict would mean nothing")
    wire = check.check(pcap, replay.octets(replay.SOURCE))
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
