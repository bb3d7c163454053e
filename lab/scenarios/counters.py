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


# strongSwan's `ha` notices a death after 2.1 s and is deaf until then; the daemon's next request for a
# rekey and TCP's next try come after that.
TCP_BACK_S = 6.0
# TCP that has less under way than a ceiling is ahead: with its own tries it does not pass it.
THIN = ("-b", "40M", "-w", "32K")


@scenario("counters-iperf", "the active unit dies under TCP at full speed, both directions",
          limit_s=240, needs=NEEDS)
def counters_iperf(lab):
    for policy in ("resume", "strict"):
        for reverse in (False, True):
            bulk_takeover(lab, Settings(inbound_policy=policy), policy, reverse)


@scenario("counters-held-out", "TCP whose packets the new active unit refuses, until a rekey",
          limit_s=180, needs=NEEDS)
def counters_held_out(lab):
    """The ceiling is as far ahead as on a gateway with many busy SAs, which are reported seldom. A
    daemon that did not get its turn in time has a lower one, so there are up to three deaths."""
    settings = Settings(replay_inbound=20_000, event_interval_ms=250)
    for _ in range(3):
        mirror = bulk_takeover(lab, settings, "strict, few under way", False, *THIN,
                               die=StrongswanHa.fail_over_at_once)
        expect(mirror["refused"] == 0, "the kernel refused a request for a rekey")
        if mirror["held_out"] > 0:
            return
    expect(False, "nothing was refused: TCP came back by itself each time")


def bulk_takeover(lab, settings, setup, reverse, *options, die=StrongswanHa.fail_over):
    """Three seconds of TCP, a death, twelve more. With the strict policy the new active unit refuses
    up to a replay interval of numbers, and TCP, which backs off meanwhile, would be long in sending as
    many: the daemon has strongSwan rekey, and the new SA refuses nothing. Returns the new active
    daemon's figures."""
    name = f"{setup.split(',', maxsplit=1)[0]}-{'down' if reverse else 'up'}"
    with Pair() as pair:
        gateways = StrongswanHa(lab, pair, settings)
        gateways.start()
        pcap = lab.path(f"iperf-{name}.pcap")
        capture = Capture("peer-outer", pcap, snap=128)
        bulk = Bulk(pair, lab.folder, 15, reverse, name, *options)
        time.sleep(3)
        die(gateways)
        before, silent, after = bulk.wait(25)
        mirror = gateways.mirrors[gateways.active].status().get("mirror", {})
        drops = xfrm.replay_drops(pair.peer)
        missed, wire = capture.stop(), check.check(pcap)
        lab.row("TCP through a takeover", setup=setup,
                direction="lan to site" if reverse else "site to lan",
                **{"Mbit/s before": f"{before:.0f}", "silence s": f"{silent:.1f}",
                   "Mbit/s after": f"{after:.0f}", "SAs held out": mirror.get("held_out"),
                   "rekeys requested": mirror.get("rekeys_asked"), "numbers reused": wire["reused"],
                   "dropped as replay by the peer": drops,
                   "packets missed by the capture": missed})
        gateways.kill()
    expect(wire["reused"] == 0, f"P1: {wire['reused']} sequence numbers were used twice")
    expect(after > 0, "TCP did not come back")
    expect(silent <= TCP_BACK_S, f"TCP was silent for {silent:.1f} s (at most {TCP_BACK_S})")
    return mirror


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
