"""Trouble between the units: restarts, a cut, a bad line, many SAs."""

import time

from kit import check, net, takeover, xfrm
from kit.capture import Capture
from kit.gateways import ManualSas
from kit.mirror import Settings
from kit.scenario import scenario
from kit.shell import LabError, expect, wait_for
from kit.topology import Pair
from kit.traffic import Traffic
from kit.xfrm import aead

from . import FULL_TABLE, NEEDS

MANY = 10_000


@scenario("many-sas", "10 000 kernel SAs: bulk, and a takeover", limit_s=240, needs=NEEDS)
def many_sas(lab):
    with Pair() as pair:
        gateways = started(lab, pair)
        begin = time.monotonic()
        xfrm.fill(pair.gateways[0], pair.net.outer, MANY)
        filled = time.monotonic()
        gateways.wait_copies(1, MANY + 2, 60)
        copied = time.monotonic()
        lab.row("many SAs", SAs=MANY, **{"set by ip s": f"{filled - begin:.1f}",
                                         "standby complete after s": f"{copied - filled:.1f}"})
        gateways.in_sync()
        judge(lab, gateways, "10 000 SAs")


@scenario("standby-restart", "the standby's daemon is killed in mid bulk, and started again",
          limit_s=240, needs=NEEDS)
def standby_restart(lab):
    with Pair() as pair:
        gateways = started(lab, pair)
        gateways.mirrors[1].kill()
        xfrm.fill(pair.gateways[0], pair.net.outer, MANY)
        gateways.mirrors[1].start()
        standby = pair.gateways[1]
        wait_for(lambda: 50 < xfrm.count(standby), "begin of bulk", 30, 0.01)
        gateways.mirrors[1].kill()
        killed_at = xfrm.count(standby)
        gateways.mirrors[1].start()
        gateways.wait_copies(1, MANY + 2, 60)
        gateways.in_sync()
        lab.row("standby restarted in mid bulk", **{"SAs when killed": killed_at,
                                                    "SAs at the end": xfrm.count(standby)})
        expect(xfrm.count(standby) == MANY + 2, "the standby has SAs that the active has not")
        judge(lab, gateways, "after a restart")


@scenario("daemon-killed", "the active unit's daemon is killed alone; the kernel goes on", limit_s=240,
          needs=NEEDS)
def daemon_killed(lab):
    with Pair() as pair:
        gateways = started(lab, pair)

        def kill_alone():
            died = time.monotonic()
            gateways.mirrors[0].kill()
            gateways.taken_over(1)
            return died

        outcome = takeover.measure(lab, gateways, 300, 15, "daemon-killed", event=kill_alone)
        lab.row(FULL_TABLE, setup="daemon killed", **outcome.cells())
        expect(outcome.reused == 0, f"P1: {outcome.reused} sequence numbers were used twice")
        expect(outcome.recovered, "traffic did not come back")
        gateways.mirrors[0].start()
        gateways.in_sync()
        expect(gateways.active == 1, "the daemon that came back took the role away")
        wait_for(lambda: not gateways.holds_address(0), "end of the old unit's address", 10)
        gateways.kill()


@scenario("partition", "the sync cables are cut and joined again, under traffic", limit_s=240,
          needs=NEEDS)
def partition(lab):
    with Pair() as pair:
        gateways = started(lab, pair)
        cut(lab, gateways, ("sync0", "sync1"))


def cut(lab, gateways, devices):
    """Cuts cables for four seconds. Both units may be active meanwhile; they must not use a number
    twice, and afterwards one of them has everything."""
    pair = gateways.pair
    pcap = lab.path("partition.pcap")
    capture = Capture("outer", pcap)
    traffic = Traffic(pair, lab.folder, 200, first=200, name="partition")
    traffic.go()
    wait_for(lambda: traffic.answered() > 250, "traffic")
    cut_at = time.monotonic()
    links(pair, devices, "down")
    time.sleep(4)
    both = all(gateways.holds_address(unit) for unit in (0, 1))
    links(pair, devices, "up")
    gateways.in_sync(30)
    wait_for(lambda: not gateways.holds_address(1 - gateways.active), "one owner of the address", 10)
    # The neighbours may have learnt the address from either unit.
    net.announce(pair.gateways[gateways.active], "outer", pair.net.outer)
    answered = traffic.answered()
    wait_for(lambda: traffic.answered() > answered + 100, "traffic after the cut", 15)
    flow = traffic.stop()
    capture.stop()
    wire = check.check(pcap)
    drops = xfrm.replay_drops(pair.peer)
    lab.row("cut of the sync cables", **{
        "both had the address": "yes" if both else "no",
        "lost": flow.lost_after(cut_at), "delivered twice": flow.doubled,
        "dropped as replay by the peer": drops, "numbers reused": wire["reused"],
    })
    gateways.kill()
    expect(wire["reused"] == 0, f"P1: {wire['reused']} sequence numbers were used twice")
    expect(flow.doubled == 0, f"P2: {flow.doubled} packets were delivered twice")


@scenario("bad-line", "the sync cable delays by 20 ms and loses one packet in 20", limit_s=240,
          needs=NEEDS)
def bad_line(lab):
    with Pair() as pair:
        # TCP waits 200 ms and more for what was lost, and twice as long if that is lost again: with
        # keepalives of 100 ms x 5 one of 400 losses is a takeover.
        gateways = started(lab, pair, Settings(mode="full", interval_ms=200, threshold=10))
        for machine in pair.gateways:
            machine.run("tc", "qdisc", "add", "dev", "sync0", "root", "netem", "delay", "20ms",
                        "5ms", "loss", "5%")
        steady(gateways, 8)
        gateways.in_sync()
        judge(lab, gateways, "bad line", outage_s=6.0)


def steady(gateways, seconds):
    """Nothing happens for a while: no takeover, no lost daemon."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not gateways.mirrors[0].active() or gateways.holds_address(1):
            raise LabError("a takeover although both units are well")
        time.sleep(0.5)


def started(lab, pair, settings=None):
    gateways = ManualSas(lab, pair, settings or Settings(mode="full"), aead(esn=True, window=128))
    gateways.start()
    return gateways


def judge(lab, gateways, setup, outage_s=4.0):
    outcome = takeover.measure(lab, gateways, 300, 15, setup.replace(" ", "-"))
    lab.row(FULL_TABLE, setup=setup, **outcome.cells())
    gateways.kill()
    takeover.expect_seamless(outcome, outage_s)


def links(pair, devices, state):
    for device in devices:
        for machine in pair.gateways:
            machine.run("ip", "link", "set", device, state)
