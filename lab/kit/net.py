"""Network namespaces, virtual cables and switches. Names are global in a guest: it has one pair."""

import os
import signal

from . import shell
from .shell import run


class Namespace:
    """A machine: a network namespace with lo up. Forwards packets if it is a router."""

    def __init__(self, name, router=False):
        self.name = name
        run("ip", "netns", "add", name)
        self.run("ip", "link", "set", "lo", "up")
        if router:
            self.sysctl("net.ipv4.ip_forward", 1)
            self.sysctl("net.ipv6.conf.all.forwarding", 1)

    def run(self, *words, **options):
        return run(*words, ns=self.name, **options)

    def spawn(self, *words, **options):
        return shell.spawn(*words, ns=self.name, **options)

    def sysctl(self, key, value):
        self.run("sysctl", "-qw", f"{key}={value}")

    def address(self, device, *addresses):
        for address in addresses:
            # Without nodad an IPv6 address cannot be used for the first second.
            flags = ["nodad"] if ":" in address else []
            self.run("ip", "addr", "add", address, "dev", device, *flags)

    def route(self, *words):
        family = ["-6"] if any(":" in str(w) for w in words) else []
        self.run("ip", *family, "route", "replace", *words)

    def pids(self):
        return [int(pid) for pid in run("ip", "netns", "pids", self.name).split()]

    def destroy(self):
        """The machine dies: its processes are killed, its interfaces and kernel state go."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        run("ip", "netns", "del", self.name)


def bridge(name):
    """A switch in the guest's own namespace. It learns at once and never speaks itself."""
    run("ip", "link", "add", name, "type", "bridge", "forward_delay", 0, "mcast_snooping", 0)
    run("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
    run("ip", "link", "set", name, "up")


def plug(switch, port, machine, device, mtu=1500):
    """Connects interface `device` of a machine to a switch; `port` is the switch's end."""
    run("ip", "link", "add", port, "type", "veth", "peer", "name", device, "netns", machine.name)
    run("sysctl", "-qw", f"net.ipv6.conf.{port}.disable_ipv6=1")
    run("ip", "link", "set", port, "master", switch, "mtu", mtu, "up")
    machine.run("ip", "link", "set", device, "mtu", mtu, "up")


def announce(machine, device, address):
    """Tells the neighbours on `device` that `address` lives here now (RFC 5227, RFC 4861)."""
    from . import announce as sender

    machine.run("python3", sender.__file__, device, address)


def mac(machine, device):
    """The hardware address of an interface."""
    words = machine.run("ip", "-o", "link", "show", "dev", device).split()
    return words[words.index("link/ether") + 1]
