"""The pair: two gateways behind one virtual address, a peer, and a host behind each side.

    site ── peer ──┬── outer switch ──┬── gw-a ──┬── inner switch ── lan
                   │                  └── gw-b ──┘
                   └ capture          gw-a ══ gw-b: two sync cables

A gateway can die (its namespace goes with everything in it) and be booted again, empty.
"""

from . import net
from .net import Namespace
from .shell import run

SYNC = (("10.99.0.1", "10.99.0.2"), ("10.98.0.1", "10.98.0.2"))
# For strongSwan's ha plugin, which gives the first turn to the higher string: gw-a.
HA = ("10.97.0.2", "10.97.0.1")


class Addresses:
    """The addresses of one IP version. `outer` and `inner` are the virtual ones."""

    def __init__(self, version):
        self.version = version
        if version == 4:
            self.outer, self.outer_length, self.peer = "192.0.2.10", 24, "192.0.2.20"
            self.gateways = ("192.0.2.11", "192.0.2.12")
            self.inner, self.inner_length, self.lan = "10.1.0.1", 24, "10.1.0.10"
            self.inner_gateways = ("10.1.0.2", "10.1.0.3")
            self.site, self.site_gateway = "10.2.0.10", "10.2.0.1"
            self.local_net, self.remote_net = "10.1.0.0/24", "10.2.0.0/24"
        else:
            self.outer, self.outer_length, self.peer = "2001:db8::10", 64, "2001:db8::20"
            self.gateways = ("2001:db8::11", "2001:db8::12")
            self.inner, self.inner_length, self.lan = "fd01::1", 64, "fd01::10"
            self.inner_gateways = ("fd01::2", "fd01::3")
            self.site, self.site_gateway = "fd02::10", "fd02::1"
            self.local_net, self.remote_net = "fd01::/64", "fd02::/64"

    def addresses(self):
        """(interface, address, prefix length) of each virtual address."""
        return (
            ("outer", self.outer, self.outer_length),
            ("inner", self.inner, self.inner_length),
        )


class Pair:
    """Builds the network. Use as a context: everything is removed at the end."""

    def __init__(self, version=4):
        self.net = Addresses(version)
        self.gateways = [None, None]

    def __enter__(self):
        net.bridge("outer")
        net.bridge("inner")
        self._peer()
        self._lan()
        for unit in (0, 1):
            self.boot(unit)
        return self

    def __exit__(self, *_):
        for machine in (*self.gateways, self.peer, self.site, self.lan):
            if machine:
                machine.destroy()
        for switch in ("outer", "inner"):
            run("ip", "link", "del", switch)

    def boot(self, unit):
        """A gateway with its own addresses, without the virtual ones."""
        a = self.net
        name = f"gw-{'ab'[unit]}"
        machine = Namespace(name, router=True)
        self.gateways[unit] = machine
        net.plug("outer", f"{name}-outer", machine, "outer")
        net.plug("inner", f"{name}-inner", machine, "inner")
        machine.address("outer", f"{a.gateways[unit]}/{a.outer_length}")
        machine.address("inner", f"{a.inner_gateways[unit]}/{a.inner_length}")
        machine.route(a.remote_net, "via", a.peer)
        if self.gateways[1 - unit]:
            self.connect_sync()
        return machine

    def connect_sync(self):
        """The cables between the gateways: sync0, sync1 for the daemon, ha for strongSwan."""
        cables = (("sync0", SYNC[0]), ("sync1", SYNC[1]), ("ha", HA))
        for device, addresses in cables:
            first, second = self.gateways
            run("ip", "link", "add", device, "netns", first.name, "type", "veth",
                "peer", "name", device, "netns", second.name)
            for machine, address in zip(self.gateways, addresses):
                machine.address(device, f"{address}/24")
                machine.run("ip", "link", "set", device, "up")

    def crash(self, unit):
        """The machine dies: silent on every interface first, then its processes and kernel go."""
        self.silence(unit)
        self.gateways[unit].destroy()
        self.gateways[unit] = None

    def silence(self, unit):
        """No packet of the peers reaches a machine any more."""
        name = self.gateways[unit].name
        lines = "".join(f"link set {name}-{side} down\n" for side in ("outer", "inner"))
        run("ip", "-batch", "-", stdin=lines)

    def take_address(self, unit):
        """Moves the virtual addresses to a gateway by hand and tells the neighbours."""
        machine = self.gateways[unit]
        for device, address, length in self.net.addresses():
            machine.address(device, f"{address}/{length}")
        self.announce(unit)

    def announce(self, unit):
        for device, address, _ in self.net.addresses():
            net.announce(self.gateways[unit], device, address)

    def drop_address(self, unit):
        for device, address, length in self.net.addresses():
            self.gateways[unit].run(
                "ip", "addr", "del", f"{address}/{length}", "dev", device, check=False
            )

    def _peer(self):
        a = self.net
        self.peer = Namespace("peer", router=True)
        self.site = Namespace("site")
        net.plug("outer", "peer-outer", self.peer, "outer")
        self.peer.address("outer", f"{a.peer}/{a.outer_length}")
        run("ip", "link", "add", "site", "netns", "peer", "type", "veth",
            "peer", "name", "peer", "netns", "site")
        self.peer.address("site", f"{a.site_gateway}/{a.inner_length}")
        self.peer.run("ip", "link", "set", "site", "up")
        self.site.address("peer", f"{a.site}/{a.inner_length}")
        self.site.run("ip", "link", "set", "peer", "up")
        self.site.route("default", "via", a.site_gateway)
        self.peer.route(a.local_net, "via", a.outer)

    def _lan(self):
        a = self.net
        self.lan = Namespace("lan")
        net.plug("inner", "lan-inner", self.lan, "inner")
        self.lan.address("inner", f"{a.lan}/{a.inner_length}")
        self.lan.route(a.remote_net, "via", a.inner)
