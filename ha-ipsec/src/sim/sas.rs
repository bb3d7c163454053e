//! The SAs of a simulation, as registers.
//!
//! Register p is a pair of IPsec SAs, one of each direction, at the same SPIs over its whole life: a
//! rekey puts SAs with new keys at the same place, which is nastier than new SPIs. Pairs of a family
//! belong to an IKE SA, with a register of its own, and are only written together with it.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use ha_core::sim::{Op, Rng};

use super::oracle::Rules;
use crate::id::{IkeId, Protocol, SaId};
use crate::record::{Direction, IkeRole, IkeSa, IkeVersion, IpsecSa, Mode, SaKeys, Transform};
use crate::replay::{InboundPolicy, Isolated, WindowSize};
use crate::sad::{Change, Sad};

/// What there is, by register.
pub(super) struct Sas {
    pairs: Vec<Pair>,
    families: Vec<Vec<usize>>,
}

/// What a pair of SAs is like, whenever there is one.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// The register of its IKE SA.
    ike: Option<usize>,
    esn: bool,
    window: WindowSize,
    rules: Rules,
    budget: u64,
}

impl Sas {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let alone = rng.range(1..=6) as usize;
        let mut families = Vec::new();
        let mut owners = vec![None; alone];
        for family in 0..rng.index(4) {
            let first = owners.len();
            owners.resize(first + rng.range(1..=3) as usize, Some(family));
            families.push((first..owners.len()).collect::<Vec<_>>());
        }
        let pairs = owners.len();
        let pair = |family: Option<usize>| Pair::new(family.map(|family| pairs + family), rng);
        Self {
            pairs: owners.into_iter().map(pair).collect(),
            families,
        }
    }

    /// How many registers are pairs; those of IKE SAs follow.
    pub(super) fn pairs(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn registers(&self) -> usize {
        self.pairs.len() + self.families.len()
    }

    /// Registers that are written together: an IKE SA and its children.
    pub(super) fn family(&self, family: usize) -> Vec<usize> {
        let ike = self.pairs.len() + family;
        let children = self.families[family].iter().copied();
        children.chain([ike]).collect()
    }

    pub(super) fn families(&self) -> usize {
        self.families.len()
    }

    /// Pairs without an IKE SA.
    pub(super) fn alone(&self) -> usize {
        self.families
            .first()
            .and_then(|family| family.first())
            .map_or(self.pairs.len(), |first| *first)
    }

    /// The register to write in order to rekey a pair: its own, or the one of its IKE SA.
    pub(super) fn unit_of_rekey(&self, pair: usize) -> usize {
        self.pairs
            .get(pair)
            .and_then(|pair| pair.ike)
            .unwrap_or(pair)
    }

    pub(super) fn is_esn(&self, pair: usize) -> bool {
        self.pairs[pair].esn
    }

    /// Puts new SAs, with new keys.
    pub(super) fn create(&self, change: &mut Change, registers: &[usize], op: Op) {
        for register in registers.iter().rev() {
            match self.pairs.get(*register) {
                None => {
                    change.insert_ike(ike_sa(*register, op));
                }
                Some(pair) => {
                    for direction in [Direction::Inbound, Direction::Outbound] {
                        change.insert(pair.sa(*register, direction, op));
                    }
                }
            }
        }
    }

    pub(super) fn remove(&self, change: &mut Change, registers: &[usize], sad: &Sad) {
        for register in registers {
            if *register < self.pairs.len() {
                change.remove(inbound_id(*register));
                change.remove(outbound_id(*register));
            } else if let Some(id) = ike_ids(*register)
                .into_iter()
                .find(|id| sad.ike(id).is_some())
            {
                change.remove_ike(id);
            }
        }
    }

    /// Writes records anew that are there, with the keys and counters that they have; an IKE SA is
    /// rekeyed. `None` if not all are there.
    pub(super) fn touch(
        &self,
        change: &mut Change,
        registers: &[usize],
        op: Op,
        sad: &Sad,
    ) -> Option<()> {
        let mut ike = None;
        for register in registers.iter().rev() {
            if *register >= self.pairs.len() {
                let old = ike_ids(*register)
                    .into_iter()
                    .find(|id| sad.ike(id).is_some())?;
                let mut new = ike_sa(*register, op);
                new.id.responder = 3 - old.responder;
                ike = Some(new.id);
                change.rekey_ike(old, new);
                continue;
            }
            for id in [inbound_id(*register), outbound_id(*register)] {
                let mut sa = IpsecSa::clone(&*sad.record(&id)?);
                sa.flow_id = number(op);
                sa.ike = ike.or(sa.ike);
                change.replace(sa);
            }
        }
        Some(())
    }

    /// What a unit shows.
    pub(super) fn read(&self, sad: &Sad, register: usize) -> Option<Op> {
        if register >= self.pairs.len() {
            let mut there = ike_ids(register).into_iter().filter_map(|id| sad.ike(&id));
            let first = there.next().map(|ike| Op::from_number(ike.ha_stamp))?;
            return Some(if there.next().is_none() {
                first
            } else {
                Op::ALIEN
            });
        }
        let [inbound, outbound] =
            [inbound_id(register), outbound_id(register)].map(|id| sad.record(&id));
        match (inbound, outbound) {
            (None, None) => None,
            (Some(inbound), Some(outbound))
                if inbound.flow_id == outbound.flow_id
                    && key_of(&inbound) == pair_key(key_of(&outbound)) =>
            {
                Some(Op::from_number(u64::from(inbound.flow_id)))
            }
            _ => Some(Op::ALIEN),
        }
    }
}

impl Pair {
    fn new(ike: Option<usize>, rng: &mut Rng) -> Self {
        use InboundPolicy::{PeerSync, Resume, Strict};
        let policy = rng
            .pick(&[Strict, Strict, Strict, PeerSync, Resume])
            .unwrap_or_default();
        let isolated = rng
            .pick(&[Isolated::Continue, Isolated::Freeze])
            .unwrap_or_default();
        let packets = rng.pick(&[32, 64, 100, 1024]).unwrap_or(64);
        Self {
            ike,
            esn: rng.chance(500),
            window: WindowSize::new(packets).unwrap_or_default(),
            rules: Rules { policy, isolated },
            budget: rng.pick(&[1, 20, 300, 1 << 20, 1 << 26]).unwrap_or(1),
        }
    }

    fn sa(&self, pair: usize, direction: Direction, op: Op) -> IpsecSa {
        let (id, source, key) = match direction {
            Direction::Inbound => (inbound_id(pair), peer(pair), inbound_key(op, pair)),
            Direction::Outbound => (outbound_id(pair), GATEWAY, outbound_key(op, pair)),
        };
        let mut sa = IpsecSa::new(id, direction, source, Mode::Tunnel);
        let mut bytes = [0; KEY_BYTES];
        bytes[..8].copy_from_slice(&key.to_be_bytes());
        sa.encryption = Some(Transform::AES_GCM_128);
        sa.keys = SaKeys::new(&bytes, &[]);
        sa.ike = self.ike.map(|register| ike_ids(register)[0]);
        (sa.esn, sa.window, sa.budget) = (self.esn, self.window, self.budget);
        (sa.policy, sa.isolated) = (self.rules.policy, self.rules.isolated);
        sa.flow_id = number(op);
        sa
    }
}

/// The key of an SA, as the oracle knows it.
pub(super) fn key_of(sa: &IpsecSa) -> u64 {
    let bytes = sa.keys.encryption.expose();
    bytes
        .first_chunk()
        .map_or(0, |key| u64::from_be_bytes(*key))
}

/// The key of the SA that sends, of the pair that a write created.
fn outbound_key(op: Op, pair: usize) -> u64 {
    inbound_key(op, pair) + 1
}

/// The key of the SA that receives.
pub(super) fn inbound_key(op: Op, pair: usize) -> u64 {
    (op.number() << 8 | pair as u64) << 1
}

/// Of either key: the one that receives.
pub(super) fn pair_key(key: u64) -> u64 {
    key & !1
}

/// The pair that an SA belongs to.
pub(super) fn pair_of(id: &SaId) -> usize {
    (id.spi - FIRST_SPI) as usize / 2
}

pub(super) fn inbound_id(pair: usize) -> SaId {
    SaId {
        spi: FIRST_SPI + 2 * pair as u32,
        destination: GATEWAY,
        protocol: Protocol::Esp,
    }
}

pub(super) fn outbound_id(pair: usize) -> SaId {
    SaId {
        spi: FIRST_SPI + 2 * pair as u32 + 1,
        destination: peer(pair),
        protocol: Protocol::Esp,
    }
}

/// A rekey goes from one to the other.
fn ike_ids(register: usize) -> [IkeId; 2] {
    [1, 2].map(|responder| IkeId {
        initiator: register as u64 + 1,
        responder,
    })
}

fn ike_sa(register: usize, op: Op) -> IkeSa {
    let at = |address, port| SocketAddr::new(address, port);
    let id = ike_ids(register)[0];
    let (local, remote) = (at(GATEWAY, 500), at(peer(register), 500));
    let mut sa = IkeSa::new(id, IkeVersion::V2, IkeRole::Responder, local, remote);
    sa.ha_stamp = op.number();
    sa
}

fn number(op: Op) -> u32 {
    u32::try_from(op.number()).unwrap_or(u32::MAX)
}

fn peer(register: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, register as u8 + 1))
}

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const FIRST_SPI: u32 = 0x1000;
/// With the salt of four bytes (RFC 4106 §8.1).
const KEY_BYTES: usize = 20;
