"""What the daemons cost: under load, and at a takeover with many SAs."""

import os
import time

from kit import load, touch, xfrm
from kit.gateways import ManualSas, ManyTunnels
from kit.meter import Meter, Reading, packets
from kit.mirror import Settings
from kit.scenario import scenario
from kit.shell import expect, stop, wait_for
from kit.topology import Pair
from kit.xfrm import aead

from . import NEEDS

RATE = 10_000
WINDOW_S = 5
# Each gets a row: what else the machine does is in the processor shares.
WINDOWS = 3
MANY = 10_000
# Longer than it takes to move all SAs once and to notice a death.
RARELY_MS = 15_000
COST_TABLE = "takeover, from the decision to the last number in the kernel"


@scenario("load", "what the daemons cost at 10 000 packets a second", limit_s=240, needs=NEEDS,
          by_name=True)
def under_load(lab):
    # Many tunnels of few packets each are the costly case: each is reported about.
    for tunnels, burst in ((1, 10), (100, 2)):
        with Pair() as pair:
            gateways = ManyTunnels(lab, pair, defaults(), aead(esn=True, window=128), tunnels)
            gateways.start()
            window(lab, gateways, 0)
            senders = start_load(lab, gateways, burst)
            for _ in range(WINDOWS):
                window(lab, gateways, RATE)
            fail(lab, gateways)
            for sender in senders:
                stop(sender)
            gateways.kill()


def defaults(**more):
    """The daemon's own defaults, and no more of a log than in service."""
    return Settings(mode="full", log="info", interval_ms=250, threshold=3, **more)


def start_load(lab, gateways, burst):
    """Half of the rate each way. Returns the senders once packets flow."""
    pair, a = gateways.pair, gateways.pair.net
    ways = ((pair.site, a.site, a.lan, ["--step-from"]), (pair.lan, a.lan, a.site, []))
    senders = [
        machine.spawn(
            "python3", load.__file__, "--from", source, "--to", target, *step,
            "--tunnels", gateways.tunnels, "--rate", RATE // 2, "--burst", burst,
            "--log", lab.path(f"{machine.name}-load.json"), log=lab.path(f"{machine.name}-load.err"),
        )
        for machine, source, target, step in ways
    ]
    wait_load(gateways)
    return senders


def wait_load(gateways):
    """Waits for as many packets through the active gateway as should take a second."""
    machine = gateways.pair.gateways[gateways.active]
    moved = packets(machine)
    wait_for(lambda: packets(machine) > moved + RATE, "load through the tunnels", 30, 0.5)


def window(lab, gateways, wanted):
    """Measures for a while, and judges what can be judged."""
    before = Reading(gateways)
    time.sleep(WINDOW_S)
    meter = Meter(before, Reading(gateways))
    lab.row("load", tunnels=gateways.tunnels, wanted=wanted, **meter.cells())
    lab.note(f"{before.status} then {meter.after.status}")
    expect(meter.counted(gateways.active, "lost") == 0, "the daemon lost events of the kernel")
    expect(meter.counted(gateways.active, "beyond_budget") == 0, "the kernel was beyond the budget")
    if wanted:
        expect(meter.counted(gateways.active, "events") > 0, "the daemon handled no event")
        expect(meter.packets > 0, "no packet passed the active gateway")
        expect(meter.counted(1 - gateways.active, "written") > 0, "the standby's kernel did not follow")


def fail(lab, gateways):
    """The active unit dies under load: nothing that the heir sends was sent before."""
    before = xfrm.replay_drops(gateways.pair.peer)
    gateways.fail_over()
    wait_load(gateways)
    lab.row(COST_TABLE, setup=f"load, {gateways.tunnels} tunnel(s)", **cost(gateways))
    drops = xfrm.replay_drops(gateways.pair.peer) - before
    expect(drops == 0, f"the peer dropped {drops} packets as replays: numbers were used twice")


@scenario("takeover-cost", "a takeover with 10 000 kernel SAs, of which none, some or all have moved",
          limit_s=400, needs=NEEDS, by_name=True)
def takeover_cost(lab):
    for moving in (0, MANY // 10, MANY):
        with Pair() as pair:
            gateways = ManualSas(lab, pair, defaults(apply_ms=RARELY_MS), aead())
            gateways.start()
            fill(gateways)
            move(lab, gateways, moving)
            die_quietly(gateways)
            done = cost(gateways)
            lab.row(COST_TABLE, setup=f"{moving} of {MANY} moved", **done)
            gateways.kill()
            expect(done["SAs"] == MANY + 2, "the heir does not have all SAs")
            expect(done["moved"] >= moving * 0.9, "fewer SAs had moved than were moved")


def fill(gateways):
    """Inbound SAs, each from an address of its own that the peer has too. An outbound one moves for the
    standby with half of a reservation, 500 packets; an inbound one with its first packet."""
    peer, virtual, network = gateways.pair.peer, gateways.pair.net.outer, f"{xfrm.FILLED}/15"
    peer.run("ip", "route", "add", "local", network, "dev", "lo")
    peer.run("ip", "xfrm", "policy", "add", "src", network, "dst", virtual, "dir", "out",
             "tmpl", "proto", "esp", "reqid", 2, "mode", "transport")
    xfrm.fill(peer, virtual, MANY, inbound=True)
    xfrm.fill(gateways.pair.gateways[0], virtual, MANY, inbound=True)
    gateways.wait_copies(1, MANY + 2, 60)
    gateways.in_sync()


def move(lab, gateways, many):
    """A packet through each of so many SAs, and time for the standby to hear of them."""
    begin, heard = time.monotonic(), events(gateways)
    if many:
        gateways.pair.peer.run("python3", touch.__file__, xfrm.FILLED, many, gateways.pair.net.outer)
        wait_for(lambda: events(gateways) >= heard + many, "events", 30)
    # Ceilings that opened close again, and what changed is acknowledged within a few flush intervals.
    time.sleep(1)
    lab.note(f"moved {many} in {time.monotonic() - begin:.1f} s")


def die_quietly(gateways):
    """The active unit dies. Looks at the heir's log only: starting a program to ask for its addresses
    takes as much of the guest's processor as the takeover does."""
    log = os.path.join(gateways.mirrors[1].folder, "mirror.log")
    done = takeovers(log)
    gateways.pair.crash(0)
    wait_for(lambda: takeovers(log) > done, "takeover", 30, 0.2)
    gateways.active = 1


def takeovers(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read().count("the data plane is here")


def events(gateways):
    return gateways.mirrors[0].status()["mirror"]["events"]


def cost(gateways):
    """What the heir's daemon says of its takeover: from the decision to the last number in the kernel."""
    done = gateways.mirrors[gateways.active].status()["last_takeover"]
    moved, spent = done["written"] + done["installed"], done["counters_ms"]
    expect(done["refused"] == 0 and done["missing"] == 0, f"the takeover is not whole: {done}")
    return {
        "SAs": done["sas"], "moved": moved, "last number after ms": f"{spent:.1f}",
        "us per SA that moved": f"{1000 * spent / moved:.0f}" if moved else "-",
    }
