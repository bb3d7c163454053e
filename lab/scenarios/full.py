"""The daemon in mode "full": it copies the kernel's SAs and policies themselves."""

from kit import takeover
from kit.gateways import ManualSas, StrongswanOnce
from kit.mirror import Settings
from kit.scenario import scenario
from kit.topology import Pair
from kit.xfrm import aead, cbc

from . import FULL_TABLE, NEEDS, round_trips

OUTAGE_S = 4.0


def full(**more):
    return Settings(mode="full", **more)


def one(lab, setup, suite, version=4, settings=None, **sas):
    with Pair(version) as pair:
        gateways = ManualSas(lab, pair, settings or full(), suite, **sas)
        gateways.start()
        judge(lab, gateways, setup)


def judge(lab, gateways, setup):
    outcome = takeover.measure(lab, gateways, 300, patience_s=15, name=setup.replace(" ", "-"))
    lab.row(FULL_TABLE, setup=setup, **outcome.cells())
    gateways.kill()
    takeover.expect_seamless(outcome, OUTAGE_S)


@scenario("full-gcm", "SAs set by hand, AES-GCM: ESN on and off, windows of 32 to 1024", limit_s=240,
          needs=NEEDS)
def full_gcm(lab):
    matrix(lab, aead)


@scenario("full-cbc", "SAs set by hand, AES-CBC with HMAC-SHA-256: the same", limit_s=240,
          needs=NEEDS)
def full_cbc(lab):
    matrix(lab, cbc)


def matrix(lab, kind):
    for esn in (False, True):
        for window in (32, 64, 1024):
            suite = kind(esn=esn, window=window)
            one(lab, f"{suite.name} {'ESN ' if esn else ''}window {window}", suite)


@scenario("full-kinds", "IPv6, NAT-T encapsulation, VTI; links over QUIC", limit_s=240, needs=NEEDS)
def full_kinds(lab):
    one(lab, "IPv6", aead(esn=True, window=128), version=6)
    one(lab, "NAT-T", aead(), encap=True)
    one(lab, "VTI", aead(), mark=42)
    one(lab, "QUIC", aead(), settings=full(transport="quic"))


@scenario("full-strongswan", "strongSwan on one unit: its child SA outlives it on the other",
          limit_s=240, needs=NEEDS)
def full_strongswan(lab):
    for setup, child in (("strongSwan GCM", {}),
                         ("strongSwan ESN", {"esp": "aes128gcm16-esn", "window": 128})):
        with Pair() as pair:
            gateways = StrongswanOnce(lab, pair, full(), **child)
            gateways.start()
            judge(lab, gateways, setup)


@scenario("full-round-trips", "ten failures in a row with copied SAs", limit_s=300, needs=NEEDS)
def full_round_trips(lab):
    with Pair() as pair:
        suite = aead(esn=True, window=128)
        gateways = ManualSas(lab, pair, full(replay_inbound=100), suite)
        gateways.start()
        round_trips(lab, gateways, 10, OUTAGE_S)
        gateways.kill()
