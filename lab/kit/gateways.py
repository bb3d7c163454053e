"""What runs on the two gateways and on the peer, in three kinds: strongSwan with its `ha` plugin on
both, SAs set by hand, and strongSwan on the first one only. Each with or without the daemon."""

import ipaddress
import time

from . import natt, strongswan, xfrm
from .mirror import Mirror, identities, wait_in_sync
from .shell import LabError, expect, wait_for
from .topology import HA, SYNC


class Gateways:
    """The common part: daemons, failover, return.

    Without a daemon (`settings` is None) the virtual addresses are moved by hand at the moment of
    death, which is kinder than any failure detection. With one, the daemon has to notice the death
    and to move them.
    """

    def __init__(self, lab, pair, settings=None):
        self.lab, self.pair, self.settings = lab, pair, settings
        self.mirrors = [None, None]
        self.active = 0
        self.identities = identities(lab.path("identity")) if settings else None

    def start_mirror(self, unit):
        if not self.settings:
            return
        self.mirrors[unit] = Mirror(
            self.pair.gateways[unit], unit, self.identities, self.lab.folder, self.settings,
            SYNC, self.pair.net,
        )
        self.mirrors[unit].start()

    def start_units(self):
        """One after the other, so that gw-a is the active one."""
        self.start_unit(0)
        self.settle()
        self.start_unit(1)
        self.in_sync()

    def settle(self):
        """Waits until gw-a has the virtual addresses, or gives them to it."""
        if self.settings:
            wait_for(lambda: self.mirrors[0].active(), "active daemon in gw-a", 20, 0.2)
            wait_for(lambda: self.holds_address(0), "virtual addresses on gw-a", 10)
        else:
            self.pair.take_address(0)

    def in_sync(self, timeout=20):
        if self.settings:
            self.active = wait_in_sync(self.mirrors, timeout).unit

    def fail_over(self):
        """The active unit dies; returns the time of death once the other has the addresses."""
        dead, heir = self.active, 1 - self.active
        died = time.monotonic()
        self.pair.crash(dead)
        self.taken_over(heir)
        return died

    def fail_over_at_once(self):
        """The same, with no last word of the daemon: it would see that the peers are silent, and say
        where they had got to."""
        self.pair.silence(self.active)
        self.mirrors[self.active].kill()
        return self.fail_over()

    def taken_over(self, heir):
        if self.settings:
            wait_for(lambda: self.holds_address(heir), "virtual addresses on the heir", 15)
        else:
            self.pair.take_address(heir)
        self.active = heir

    def holds_address(self, unit):
        """True if the virtual addresses are on a unit, whoever put them there."""
        text = self.pair.gateways[unit].run("ip", "-o", "addr", "show")
        return all(f" {address}/" in text for _, address, _ in self.pair.net.addresses())

    def rejoin(self, unit):
        """A dead unit comes back with empty memory; returns when it is a standby in sync."""
        self.pair.boot(unit)
        self.start_unit(unit)
        self.wait_copies(unit)
        self.in_sync()
        expect(self.active != unit, "the unit that came back took the role away")

    def wait_copies(self, unit, sas=2, timeout=20):
        machine = self.pair.gateways[unit]
        wait_for(lambda: xfrm.count(machine) >= sas, f"copies of SAs in {machine.name}", timeout)

    def kill(self):
        for mirror in self.mirrors:
            if mirror:
                mirror.kill()


class StrongswanHa(Gateways):
    """strongSwan with the `ha` plugin on both gateways: it copies keys, never counters. Mode
    "counters" of the daemon adds those."""

    def __init__(self, lab, pair, settings=None, **child):
        super().__init__(lab, pair, settings)
        self.child = child
        self.charons = [None, None]
        self.peer = strongswan.Charon(pair.peer, lab.folder)

    def start(self):
        """gw-a is active, the tunnel is set up by the peer and known to both."""
        self.start_units()
        start_peer(self.peer, self.pair.net, self.child)
        self.wait_responsible(0)
        self.peer.initiate()
        self.wait_copies(1)
        self.in_sync()

    def start_unit(self, unit):
        self.start_charon(unit)
        self.start_mirror(unit)

    def start_charon(self, unit):
        ha = strongswan.ha_settings(HA[unit], HA[1 - unit])
        self.charons[unit] = strongswan.Charon(self.pair.gateways[unit], self.lab.folder, ha)
        start_gateway(self.charons[unit], self.pair.net, self.child)

    def wait_copies(self, unit, sas=2, timeout=20):
        """On a busy machine the plugin asks for all SAs before its connection is loaded, ignores the
        answer ("HA is missing nodes peer configuration") and never asks again: the other unit is told
        to send all again then, as an operator would; every other time strongSwan is started anew."""
        for attempt in range(8):
            try:
                return super().wait_copies(unit, sas, 5)
            except LabError:
                self.lab.note(f"strongSwan of unit {unit} missed its resync ({attempt + 1})")
            if attempt % 2 == 0:
                self.charons[1 - unit].send_all()
            else:
                self.charons[unit].kill()
                self.start_charon(unit)
        return super().wait_copies(unit, sas, timeout)

    def wait_responsible(self, unit):
        """Waits until strongSwan on `unit` has taken the segment: until then it ignores IKE."""
        log = self.lab.path(self.pair.gateways[unit].name, "charon.log")

        def taken():
            with open(log, encoding="utf-8", errors="replace") as file:
                return "activated, now active: 1" in file.read()

        wait_for(taken, f"segment 1 on {self.pair.gateways[unit].name}", 15)

    def kill(self):
        super().kill()
        for charon in (*self.charons, self.peer):
            if charon:
                charon.kill()


class ManualSas(Gateways):
    """SAs and policies set by hand in the peer and in gw-a. Mode "full" of the daemon copies them."""

    def __init__(self, lab, pair, settings, suite, encap=False, mark=None):
        super().__init__(lab, pair, settings)
        self.suite, self.encap, self.mark = suite, encap, mark

    def start(self):
        self.start_units()
        a = self.pair.net
        if self.encap:
            self.pair.peer.spawn("python3", natt.__file__)
        xfrm.tunnel(self.pair.peer, a.peer, a.outer, a.remote_net, a.local_net, "0x1000", "0x2000",
                    self.suite, self.encap)
        xfrm.tunnel(self.pair.gateways[0], a.outer, a.peer, a.local_net, a.remote_net, "0x2000",
                    "0x1000", self.suite, self.encap, self.mark)
        self.wait_copies(1)
        self.in_sync()

    def start_unit(self, unit):
        machine = self.pair.gateways[unit]
        if self.mark is not None:
            self.route_through_vti(machine)
        if self.encap:
            machine.spawn("python3", natt.__file__)
        self.start_mirror(unit)

    def route_through_vti(self, machine):
        """What an operator configures on both units; the daemon copies SAs, not interfaces."""
        a = self.pair.net
        machine.run("ip", "link", "add", "vti0", "type", "vti", "local", a.outer, "remote", a.peer,
                    "key", self.mark)
        machine.sysctl("net.ipv4.conf.vti0.disable_policy", 1)
        machine.run("ip", "link", "set", "vti0", "up")
        machine.route(a.remote_net, "dev", "vti0")


class ManyTunnels(Gateways):
    """As many tunnels as wanted between the same gateways, each for one address of the site. Set by
    hand, and copied by the daemon."""

    def __init__(self, lab, pair, settings, suite, tunnels):
        super().__init__(lab, pair, settings)
        self.suite, self.tunnels = suite, tunnels

    def start(self):
        self.start_units()
        first = ipaddress.ip_address(self.pair.net.site)
        hosts = [first + n for n in range(self.tunnels)]
        length = self.pair.net.inner_length
        batch(self.pair.site, [f"addr replace {host}/{length} dev peer\n" for host in hosts])
        batch(self.pair.peer, [self._ends(n, host)[0] for n, host in enumerate(hosts)])
        batch(self.pair.gateways[0], [self._ends(n, host)[1] for n, host in enumerate(hosts)])
        self.wait_copies(1, 2 * self.tunnels, 60)
        self.in_sync()

    def _ends(self, number, host):
        """The lines of `ip -batch` that make a tunnel, in the peer and in the gateway."""
        a, up, down = self.pair.net, 0x10000 + number, 0x20000 + number
        return (
            xfrm.tunnel_lines(a.peer, a.outer, host, a.lan, up, down, self.suite, reqid=number + 1),
            xfrm.tunnel_lines(a.outer, a.peer, a.lan, host, down, up, self.suite, reqid=number + 1),
        )

    def start_unit(self, unit):
        self.start_mirror(unit)


class StrongswanOnce(Gateways):
    """Plain strongSwan on gw-a and the peer. Mode "full" copies the child SA; the IKE SA dies with
    gw-a."""

    def __init__(self, lab, pair, settings, **child):
        super().__init__(lab, pair, settings)
        self.child = child
        self.charon = strongswan.Charon(pair.gateways[0], lab.folder)
        self.peer = strongswan.Charon(pair.peer, lab.folder)

    def start(self):
        self.start_units()
        start_gateway(self.charon, self.pair.net, self.child)
        start_peer(self.peer, self.pair.net, self.child)
        self.peer.initiate()
        self.wait_copies(1)
        self.in_sync()

    def start_unit(self, unit):
        self.start_mirror(unit)

    def kill(self):
        super().kill()
        for charon in (self.charon, self.peer):
            charon.kill()


def batch(machine, lines):
    """Runs many commands of iproute2 in one process."""
    machine.run("ip", "-batch", "-", stdin="".join(lines), timeout=60)


def start_gateway(charon, a, child):
    charon.start(strongswan.connection(
        a.outer, a.peer, a.local_net, a.remote_net, "gateway", "peer", **child
    ))


def start_peer(charon, a, child):
    charon.start(strongswan.connection(
        a.peer, a.outer, a.remote_net, a.local_net, "peer", "gateway", **child
    ))
