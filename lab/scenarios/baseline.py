"""What a takeover costs with strongSwan's own `ha` plugin."""

from kit import takeover
from kit.gateways import StrongswanHa
from kit.scenario import scenario
from kit.shell import expect
from kit.topology import Pair

from . import STRONGSWAN_TABLE


@scenario("strongswan-ha-alone", "takeover with strongSwan's ha plugin and nothing else",
          limit_s=400)
def strongswan_ha_alone(lab):
    for before in (200, 2_000, 20_000):
        with Pair() as pair:
            gateways = StrongswanHa(lab, pair)
            gateways.start()
            outcome = takeover.measure(lab, gateways, before, patience_s=60)
            lab.row(STRONGSWAN_TABLE, setup="ha alone", **outcome.cells())
            gateways.kill()
    # The laboratory would be wrong, not strongSwan right, if this came out well: the plugin has no
    # counters to hand over.
    expect(outcome.drops > 0, "the peer dropped nothing: was there a takeover at all?")
