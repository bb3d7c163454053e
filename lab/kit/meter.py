"""What two daemons, their cable and the active gateway's kernel did within a while."""

import time

from . import xfrm


class Reading:
    """Everything that counts up, at one moment."""

    def __init__(self, gateways):
        self.active = gateways.active
        machine = gateways.pair.gateways[self.active]
        self.at = time.monotonic()
        self.cpu = [cpu_seconds(mirror.process.pid) for mirror in gateways.mirrors]
        self.status = [mirror.status()["mirror"] for mirror in gateways.mirrors]
        self.cable = bytes_on(machine, "sync0")
        self.packets = packets(machine)


class Meter:
    """The difference of two readings."""

    def __init__(self, before, after):
        self.before, self.after = before, after
        self.seconds = after.at - before.at
        self.packets = after.packets - before.packets
        self.sync_bytes = after.cable - before.cable

    def cpu(self, unit):
        """Processor seconds of a unit's daemon."""
        return self.after.cpu[unit] - self.before.cpu[unit]

    def counted(self, unit, what):
        """By how much a figure of a daemon's status rose."""
        return self.after.status[unit][what] - self.before.status[unit][what]

    def cells(self):
        """Cells of a row. The daemons' shares are of the guest's one processor."""
        active, standby = self.before.active, 1 - self.before.active
        events, written = self.counted(active, "events"), self.counted(standby, "written")
        return {
            "packets/s": round(self.packets / self.seconds),
            "events/s": round(events / self.seconds),
            "active CPU %": f"{100 * self.cpu(active) / self.seconds:.1f}",
            "us/packet": each(1e6 * self.cpu(active), self.packets),
            "us/event": each(1e6 * self.cpu(active), events),
            "standby CPU %": f"{100 * self.cpu(standby) / self.seconds:.1f}",
            "written/s": round(written / self.seconds),
            "sync bytes/s": round(self.sync_bytes / self.seconds),
            "bytes/packet": each(self.sync_bytes, self.packets),
        }


def each(total, many):
    return f"{total / many:.2f}" if many else "-"


def cpu_seconds(pid):
    """Processor time of all threads of another process, in the scheduler's nanoseconds: /proc/PID/stat
    counts ticks of 10 ms, which a daemon that wakes with the ticks dodges."""
    # CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime((~pid << 3) | 2)


def bytes_on(machine, device):
    """Bytes that passed a cable in both directions, Ethernet's headers included."""
    lines = machine.run("cat", "/proc/net/dev").splitlines()
    words = next(line.split(":")[1].split() for line in lines if line.strip().startswith(device + ":"))
    return int(words[0]) + int(words[8])


def packets(machine):
    """Packets that a gateway's SAs have protected or accepted, both directions together."""
    return sum(max(sa["seq"], sa["oseq"]) for sa in xfrm.states(machine))
