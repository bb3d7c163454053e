"""The scenarios, a file for each subject. See ../README.md for how to add one."""

import time

from kit import check, xfrm
from kit.capture import Capture
from kit.shell import expect, wait_for
from kit.traffic import Traffic

NEEDS = ("xfrm-mirror", "ha-identity")
STRONGSWAN_TABLE = "takeover with strongSwan's ha plugin"
FULL_TABLE = "takeover, SAs and policies copied by the daemon"


def round_trips(lab, gateways, rounds, outage_s):
    """The active unit dies, the other takes over, the dead one comes back empty: again and again,
    under one flow of 100 packets a second, with one capture over everything."""
    pcap, deaths = lab.path("round-trips.pcap"), []
    capture = Capture("peer-outer", pcap)
    traffic = Traffic(gateways.pair, lab.folder, 100, first=100, name="round-trips")
    traffic.go()
    wait_for(lambda: traffic.answered() > 120, "traffic")
    for _ in range(rounds):
        dead = gateways.active
        deaths.append(gateways.fail_over())
        answered = traffic.answered()
        wait_for(lambda: traffic.answered() > answered + 50, "traffic after a takeover", 15)
        gateways.rejoin(dead)
    time.sleep(0.5)
    flow = traffic.stop()
    expect(capture.stop() == 0, "the capture lost packets: its verdict would mean nothing")
    wire = check.check(pcap)
    ends = [*deaths[1:], float("inf")]
    for number, (died, end) in enumerate(zip(deaths, ends), 1):
        outage, _ = flow.outage(died, end)
        lab.row("failures in a row", round=number, **{"seconds without traffic": f"{outage:.2f}"})
        expect(outage <= outage_s, f"round {number}: no traffic for {outage:.2f} s")
    drops = xfrm.replay_drops(gateways.pair.peer)
    lab.note(f"wire {wire}, dropped as replay by the peer {drops}, doubled {flow.doubled}")
    expect(wire["reused"] == 0, f"P1: {wire['reused']} sequence numbers were used twice")
    expect(flow.doubled == 0, f"P2: {flow.doubled} packets were delivered twice")
