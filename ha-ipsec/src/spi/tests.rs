use core::time::Duration;
use std::collections::BTreeSet;

use ha_core::time::Time;
use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

/// Random numbers that are the same on each run.
fn random(mut seed: u64) -> impl FnMut() -> Result<u64, RandomError> {
    move || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        Ok(seed ^ seed >> 31)
    }
}

fn spis(share: Share) -> SpiAllocator {
    SpiAllocator::new(share, Quarantine::default())
}

#[test]
fn shares_do_not_overlap_and_fill_the_space() {
    for width in [16, 32, 64] {
        for bits in 0..=MAX_SHARE_BITS {
            let mut next = Some(0);
            for index in 0..1 << bits {
                let (low, high) = Share::new(index, bits).unwrap().range(width);
                assert_eq!(Some(low), next);
                next = high.checked_add(1);
            }
            let end = 1u64.checked_shl(width);
            assert_eq!(next, end.filter(|end| *end > 1), "{width} {bits}");
        }
    }
    assert!(Share::new(2, 1).is_err());
    assert!(Share::new(0, 4).is_err());
    assert_eq!(Share::new(1, 1), Ok(Share::SECOND));
}

#[test]
fn every_share_of_every_space_has_room() {
    for bits in 0..=MAX_SHARE_BITS {
        for index in 0..1 << bits {
            let share = Share::new(index, bits).unwrap();
            let quarantine = Quarantine::default();
            let cpi = CpiAllocator::new(share, quarantine).allocate(at(0), random(1), |_| false);
            assert!((256..=61439).contains(&cpi.unwrap()));
            let spi = spis(share).allocate(at(0), random(1), |_| false);
            assert!(spi.unwrap() >= 256);
            let ike = IkeSpiAllocator::new(share, quarantine).allocate(at(0), random(1), |_| false);
            assert_ne!(ike.unwrap(), 0);
        }
    }
}

#[test]
fn extremes_of_the_random_source_stay_within_the_share() {
    for (share, lowest, highest) in [
        (Share::FIRST, 0x100, 0x7fff_ffff),
        (Share::SECOND, 0x8000_0000, 0xffff_ffff),
    ] {
        let low = spis(share).allocate(at(0), || Ok(0), |_| false);
        let high = spis(share).allocate(at(0), || Ok(u64::MAX), |_| false);
        assert_eq!((low, high), (Ok(lowest), Ok(highest)));
    }
    let alone = Share::new(0, 0).unwrap();
    let mut ike = IkeSpiAllocator::new(alone, Quarantine::default());
    assert_eq!(ike.allocate(at(0), || Ok(0), |_| false), Ok(1));
    assert_eq!(
        ike.allocate(at(0), || Ok(u64::MAX), |_| false),
        Ok(u64::MAX)
    );
}

#[test]
fn numbers_in_use_are_passed_over_also_without_luck() {
    // The source always gives the lowest: the search goes on from there, and round the end.
    let mut cpis = CpiAllocator::new(Share::SECOND, Quarantine::default());
    let low = cpis.allocate(at(0), || Ok(0), |cpi| cpi < 0x8003);
    assert_eq!(low, Ok(0x8003));
    let round = cpis.allocate(at(0), || Ok(u64::MAX), |cpi| cpi > 0x8000);
    assert_eq!(round, Ok(0x8000));
}

#[test]
fn a_space_that_is_used_up_says_so_and_not_before() {
    let quarantine = Quarantine {
        numbers: 0,
        ..Quarantine::default()
    };
    for (share, room) in [(Share::FIRST, 32_512), (Share::SECOND, 28_672)] {
        let mut cpis = CpiAllocator::new(share, quarantine);
        let mut used = BTreeSet::new();
        let mut random = random(7);
        while let Ok(cpi) = cpis.allocate(at(0), &mut random, |cpi| used.contains(&cpi)) {
            assert!((256..=61439).contains(&cpi) && used.insert(cpi));
        }
        assert_eq!(used.len(), room);
        used.remove(&0x8000);
        used.remove(&0x7fff);
        let one = cpis.allocate(at(0), &mut random, |cpi| used.contains(&cpi));
        assert!(one.is_ok(), "the only free one is found");
    }
    let full = spis(Share::FIRST).allocate(at(0), random(1), |_| true);
    assert_eq!(
        full,
        Err(SpiError::Exhausted {
            tried: 32 + 65_536,
            first: 256,
            last: 0x7fff_ffff
        })
    );
}

#[test]
fn no_randomness_no_spi() {
    let got = spis(Share::FIRST).allocate(at(0), || Err(RandomError), |_| false);
    assert_eq!(got, Err(SpiError::Random(RandomError)));
}

#[test]
fn freed_numbers_rest() {
    let mut spis = spis(Share::FIRST);
    let mut again = |now| spis.allocate(now, || Ok(0), |_| false).unwrap();
    assert_eq!(again(at(0)), 256);
    let mut spis = self::spis(Share::FIRST);
    spis.free(256, at(0));
    spis.free(257, at(200));
    let mut again = |now| spis.allocate(now, || Ok(0), |_| false).unwrap();
    assert_eq!(again(at(299)), 258);
    assert_eq!(again(at(300)), 256);
    assert_eq!(again(at(499)), 256);
    // Freed twice: the later one counts.
    spis.free(256, at(500));
    spis.free(256, at(700));
    let mut again = |now| spis.allocate(now, || Ok(0), |_| false).unwrap();
    assert_eq!(again(at(801)), 257);
    assert_eq!(again(at(1000)), 256);
}

#[test]
fn at_most_so_many_rest() {
    let quarantine = Quarantine {
        numbers: 3,
        ..Quarantine::default()
    };
    let mut spis = SpiAllocator::new(Share::FIRST, quarantine);
    for spi in 256..260 {
        spis.free(spi, at(1));
    }
    let mut lowest = || spis.allocate(at(2), || Ok(0), |_| false).unwrap();
    assert_eq!(lowest(), 256, "the oldest was let go");
    // Of other shares and reserved ones none is kept.
    spis.free(0x8000_0000, at(2));
    spis.free(0, at(2));
    let mut used = |spi| spi == 256;
    assert_eq!(spis.allocate(at(2), || Ok(0), &mut used), Ok(260));
    let none = Quarantine {
        numbers: 0,
        ..quarantine
    };
    let mut spis = SpiAllocator::new(Share::FIRST, none);
    spis.free(256, at(1));
    assert_eq!(spis.allocate(at(1), || Ok(0), |_| false), Ok(256));
}

#[test]
fn the_system_has_randomness() {
    assert_ne!(os_random(), os_random());
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Allocate(bool, u64),
    Free(u16),
    Pass(u8),
}

proptest! {
    /// Two units that never speak to each other, in spaces small enough to collide.
    #[test]
    fn two_units_never_give_out_one_number(ops in prop::collection::vec(prop_oneof![
        4 => (any::<bool>(), any::<u64>()).prop_map(|(unit, seed)| Op::Allocate(unit, seed)),
        2 => any::<u16>().prop_map(Op::Free),
        1 => (0u8..200).prop_map(Op::Pass),
    ], 1..200)) {
        let quarantine = Quarantine { time: Duration::from_secs(300), numbers: 100 };
        let mut units = [Share::FIRST, Share::SECOND].map(|share| CpiAllocator::new(share, quarantine));
        let mut used = [BTreeSet::new(), BTreeSet::new()];
        let mut freed = vec![];
        let mut now = at(0);
        for op in ops {
            match op {
                Op::Allocate(unit, seed) => {
                    let unit = usize::from(unit);
                    // A tenth of the range, so that numbers meet.
                    let mut random = random(seed);
                    let own = &used[unit];
                    let cpi = units[unit]
                        .allocate(now, || random().map(|it| it / 1000), |cpi| own.contains(&cpi))
                        .unwrap();
                    prop_assert!(!used[0].contains(&cpi) && !used[1].contains(&cpi));
                    let rests = |(other, since): &(u16, Time)| *other == cpi && now.since(*since) < quarantine.time;
                    prop_assert!(freed.len() > 100 || !freed.iter().any(rests));
                    used[unit].insert(cpi);
                }
                Op::Free(pick) => {
                    let unit = usize::from(pick & 1);
                    let nth = usize::from(pick >> 1) % used[unit].len().max(1);
                    let Some(&cpi) = used[unit].iter().nth(nth) else { continue };
                    used[unit].remove(&cpi);
                    units[unit].free(cpi, now);
                    freed.push((cpi, now));
                }
                Op::Pass(seconds) => now = now + Duration::from_secs(seconds.into()),
            }
        }
    }
}
