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
    drops = xfrm.replay_drops(gateways.pair.peer)
    lab.note(f"wire {wire}")
    spans = zip(deaths, [*deaths[1:], float("inf")])
    longest = max(flow.outage(died, end)[0] for died, end in spans)
    lab.row("failures in a row", scenario=lab.name, failures=rounds, **{
        "longest silence s": f"{longest:.2f}", "sent": len(flow.sent), "lost": flow.lost,
        "dropped as replay by the peer": drops, "delivered twice": flow.doubled,
        "numbers reused": wire["reused"],
    })
    expect(longest <= outage_s, f"no traffic for {longest:.2f} s (at most {outage_s})")
    expect(wire["reused"] == 0, f"P1: {wire['reused']} sequence numbers were used twice")
    expect(flow.doubled == 0, f"P2: {flow.doubled} packets were delivered twice")
