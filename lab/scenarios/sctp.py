"""Kernel SCTP: the tests of the transport, and the loss of paths under the daemon."""

from kit.mirror import Settings, binary
from kit.scenario import scenario
from kit.shell import expect, run
from kit.topology import Pair

from . import NEEDS
from .trouble import cut, judge, links, started, steady

# The test binary is there if the transport was built with SCTP.
SCTP = (*NEEDS, "conformance-sctp")


@scenario("sctp-conformance", "the tests that all transports share, over kernel SCTP", limit_s=300,
          needs=("conformance-sctp",))
def sctp_conformance(lab):
    # With the MTU of lo, 65536, SCTP stalls.
    run("ip", "link", "set", "lo", "mtu", 1500)
    text = run(binary("conformance-sctp"), "sctp", env={"HA_REQUIRE_SCTP": 1}, timeout=150,
               check=False)
    with open(lab.path("conformance.log"), "w", encoding="utf-8") as out:
        out.write(text)
    verdict = [line for line in text.splitlines() if line.startswith("test result:")]
    expect(verdict, f"no verdict: {text[-400:]}")
    lab.note(verdict[-1])
    expect(verdict[-1].startswith("test result: ok. ") and " 0 passed" not in verdict[-1],
           f"{verdict[-1]} (conformance.log)")


@scenario("sctp-one-path", "one of two SCTP paths is lost: no takeover; then a real one", limit_s=240,
          needs=SCTP)
def sctp_one_path(lab):
    with Pair() as pair:
        gateways = started(lab, pair, sctp())
        links(pair, ["sync0"], "down")
        steady(gateways, 6)
        gateways.in_sync()
        judge(lab, gateways, "SCTP, one path left")


@scenario("sctp-no-path", "both SCTP paths are lost and come back", limit_s=240,
          needs=SCTP)
def sctp_no_path(lab):
    with Pair() as pair:
        cut(lab, started(lab, pair, sctp()), ("sync0", "sync1"))


def sctp():
    return Settings(mode="full", transport="sctp", paths=2)
