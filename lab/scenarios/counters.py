"""The daemon in mode "counters" beside strongSwan's `ha` plugin: the plugin copies the keys, the
daemon the counters."""

import time

from kit import check, takeover, xfrm
from kit.bulk import Bulk
from kit.capture import Capture
from kit.gateways import StrongswanHa
from kit.mirror import Settings
from kit.scenario import scenario
from kit.shell import expect, wait_for
from kit.topology import Pair

from . import NEEDS, STRONGSWAN_TABLE, round_trips

# Longer silences than this are failures: detection at the fast timers, the move of the address,
# and what the strict policy refuses (up to 1000 numbers) at 500 packets a second.
OUTAGE_S = 4.0


@scenario("strongswan-ha-mirror", "takeover with strongSwan's ha plugin and the daemon beside it",
          limit_s=300, needs=NEEDS)
def strongswan_ha_mirror(lab):
    for policy in ("strict", "resume"):
        for before in (200, 2_000, 20_000):
            one(lab, f"ha + daemon, {policy}", before, Settings(inbound_policy=policy))


@scenario("counters-suites", "counters of CBC, ESN and NAT-T SAs, and over IPv6",
          limit_s=240, needs=NEEDS)
def counters_suites(lab):
    one(lab, "CBC + SHA-256", 300, Settings(), esp="aes128-sha256-noesn")
    one(lab, "GCM, ESN", 300, Settings(), esp="aes128gcm16-esn", window=64)
    one(lab, "GCM, NAT-T", 300, Settings(), encap=True)
    one(lab, "GCM, IPv6", 300, Settings(), version=6)


def one(lab, setup, before, settings, version=4, **child):
    """One takeover of a fresh pair, with every promise checked."""
    with Pair(version) as pair:
        gateways = StrongswanHa(lab, pair, settings, **child)
        gateways.start()
        outcome = takeover.measure(lab, gateways, before, patience_s=20, name=setup)
        lab.row(STRONGSWAN_TABLE, setup=setup, **outcome.cells())
        gateways.kill()
        # After a death "resume" accepts again what the dead unit had not told of; that is its
        # bargain, and the figure is in the table.
        if settings.inbound_policy != "strict":
            outcome.accepted = 0
        takeover.expect_seamless(outcome, OUTAGE_S)


@scenario("counters-iperf", "the active unit dies under TCP at full speed, both directions",
          limit_s=240, needs=NEEDS)
def counters_iperf(lab):
    for policy in ("resume", "strict"):
        for reverse in (False, True):
            with Pair() as pair:
                gateways = StrongswanHa(lab, pair, Settings(inbound_policy=policy))
                gateways.start()
                bulk_takeover(lab, gateways, policy, reverse)


def bulk_takeover(lab, gateways, policy, reverse):
    """Three seconds of TCP, a death, nine more. With the strict policy the new active unit refuses
    up to a replay interval of numbers, and TCP, which backs off meanwhile, may be long in sending as
    many: that is measured, not demanded to be short."""
    pcap = lab.path(f"iperf-{policy}-{'down' if reverse else 'up'}.pcap")
    capture = Capture("peer-outer", pcap, snap=128)
    bulk = Bulk(gateways.pair, lab.folder, 12, reverse, policy)
    time.sleep(3)
    gateways.fail_over()
    before, silent, after = bulk.wait(20)
    drops = xfrm.replay_drops(gateways.pair.peer)
    missed, wire = capture.stop(), check.check(pcap)
    lab.row("TCP at full speed", policy=policy,
            direction="lan to site" if reverse else "site to lan",
            **{"Mbit/s before": f"{before:.0f}", "silence s": f"{silent:.1f}",
               "Mbit/s after": f"{after:.0f}", "numbers reused": wire["reused"],
               "dropped as replay by the peer": drops, "packets missed by the capture": missed})
    gateways.kill()
    expect(wire["reused"] == 0, f"P1: {wire['reused']} sequence numbers were used twice")
    expect(after > 0 or policy == "strict", "TCP did not come back")


@scenario("counters-round-trips", "ten failures in a row, to and fro, under traffic", limit_s=240,
          needs=NEEDS)
def counters_round_trips(lab):
    with Pair() as pair:
        # At 100 packets a second a unit that refuses 100 numbers is silent for one.
        gateways = StrongswanHa(lab, pair, Settings(replay_inbound=100))
        gateways.start()
        round_trips(lab, gateways, 10, OUTAGE_S)
        gateways.kill()


@scenario("counters-rekey", "the child SA is rekeyed just before, during and after a takeover",
          limit_s=240, needs=NEEDS)
def counters_rekey(lab):
    for when in ("before", "during", "after"):
        with Pair() as pair:
            gateways = StrongswanHa(lab, pair, Settings())
            gateways.start()
            outcome = takeover.measure(lab, gateways, 300, 20, name=f"rekey-{when}",
                                       event=lambda: rekeyed(gateways, when))
            lab.row(STRONGSWAN_TABLE, setup=f"rekey {when}", **outcome.cells())
            gateways.kill()
            takeover.expect_seamless(outcome, OUTAGE_S if when != "during" else 8.0)


def rekeyed(gateways, when):
    """A failure of the active unit with a rekey by the peer around it."""
    peer = gateways.peer
    if when == "before":
        peer.rekey()
        wait_for(lambda: "REKEYED" in peer.sas() or peer.sas().count("INSTALLED") == 1, "rekey")
        return gateways.fail_over()
    if when == "during":
        # The request reaches a unit that dies before or while it answers.
        peer.machine.spawn("swanctl", "--rekey", "--child", "net", "--uri", peer.uri)
        return gateways.fail_over()
    died = gateways.fail_over()
    gateways.wait_responsible(gateways.active)
    peer.rekey()
    return died
