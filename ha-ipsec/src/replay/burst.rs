//! Many packets at once.

use super::ring::{bit_of, block_of, highest_of};
use super::window::CLOSED;
use super::{Accept, InboundWindow, Replay};
use crate::gate::Gate;
use crate::sync::Ordering;

/// How many packets of a burst are taken in together.
const TOGETHER: usize = u64::BITS as usize;

impl InboundWindow {
    /// Takes in the numbers of packets whose ICV is right, and tells `each` what to do with the packet
    /// at that place: the same as [`accept`](Self::accept) for each in turn, at a fraction of the cost
    /// if they are neighbours.
    ///
    /// `each` hears of every place once. Of 64 packets at a time it hears first of those to drop, then
    /// of the others, in their order.
    #[inline]
    pub fn accept_burst(&self, numbers: &[u64], gate: &Gate, mut each: impl FnMut(usize, Accept)) {
        let is_open = gate.is_open() && self.bound.load(Ordering::Relaxed) != CLOSED;
        for (turn, burst) in numbers.chunks(TOGETHER).enumerate() {
            let mut tell = |place, accept| each(turn * TOGETHER + place, accept);
            if is_open {
                let drop = |place, why| tell(place, Accept::Replay(why));
                let recorded = self.record_burst(burst, drop);
                self.judge_burst(burst, recorded, gate, tell);
            } else {
                (0..burst.len()).for_each(|place| tell(place, Accept::Replay(Replay::Closed)));
            }
        }
    }

    /// Looks at packets before their integrity is verified, and tells `drop` of those that surely are
    /// not new: the same as [`check`](Self::check) for each, cheaper for neighbours.
    #[inline]
    pub fn check_burst(&self, numbers: &[u64], mut drop: impl FnMut(usize, Replay)) {
        if self.bound.load(Ordering::Relaxed) == CLOSED {
            (0..numbers.len()).for_each(|place| drop(place, Replay::Closed));
            return;
        }
        for (turn, burst) in numbers.chunks(TOGETHER).enumerate() {
            let mut drop = |place, why| drop(turn * TOGETHER + place, why);
            let (top_block, mut from) = (self.top_block.load(Ordering::Acquire), 0);
            while let Some(group) = self.gather(burst, from, top_block, &mut drop) {
                from = group.end;
                match self.ring.recorded(group.block, group.wanted) {
                    Ok(0) => {}
                    Ok(seen) => group.having(seen, burst, |place| drop(place, Replay::Duplicate)),
                    Err(why) => places(group.places).for_each(|place| drop(place, why)),
                }
            }
        }
    }

    /// Records what is new: block by block, the top at the end. Tells `drop` of the rest.
    #[inline]
    fn record_burst(&self, burst: &[u64], mut drop: impl FnMut(usize, Replay)) -> Recorded {
        let (before, mut recorded) = (self.top_block.load(Ordering::Acquire), Recorded::default());
        let (mut top_block, mut from) = (before, 0);
        while let Some(group) = self.gather(burst, from, top_block, &mut drop) {
            from = group.end;
            match self.ring.record_all(group.block, group.wanted) {
                Ok(fresh) => {
                    recorded.add(&group, fresh, burst, &mut drop);
                    if fresh != 0 {
                        top_block = top_block.max(group.block);
                    }
                }
                Err(why) => places(group.places).for_each(|place| drop(place, why)),
            }
        }
        if top_block > before {
            self.top_block.fetch_max(top_block, Ordering::AcqRel);
        }
        recorded
    }

    /// The neighbours from a place on whose numbers are of one block, without those that cannot be
    /// accepted whatever their bits say: `drop` is told of these.
    #[inline]
    fn gather(
        &self,
        burst: &[u64],
        from: usize,
        top_block: u64,
        drop: &mut impl FnMut(usize, Replay),
    ) -> Option<Group> {
        let block = block_of(*burst.get(from)?);
        let rest = burst.get(from..)?;
        let others = rest.iter().position(|number| block_of(*number) != block);
        let end = from + others.unwrap_or(rest.len());
        let group = burst.get(from..end)?;
        let (mut wanted, mut places) = (0, u64::MAX >> (TOGETHER - group.len()) << from);
        if self.admits_block(block, top_block) {
            group.iter().for_each(|number| wanted |= bit_of(*number));
        } else {
            for (place, number) in (from..).zip(group) {
                match self.admit_below(*number, top_block) {
                    Ok(()) => wanted |= bit_of(*number),
                    Err(why) => {
                        places &= !(1 << place);
                        drop(place, why);
                    }
                }
            }
        }
        Some(Group {
            block,
            wanted,
            places,
            end,
        })
    }

    /// Whether what was recorded may be delivered: the ceiling is looked at after all of it was.
    #[inline]
    fn judge_burst(
        &self,
        burst: &[u64],
        recorded: Recorded,
        gate: &Gate,
        mut tell: impl FnMut(usize, Accept),
    ) {
        let Recorded {
            places: all,
            highest,
        } = recorded;
        if all == 0 {
            return;
        }
        if highest >= self.bound.load(Ordering::Acquire) {
            for place in places(all) {
                let number = burst.get(place).copied().unwrap_or(highest);
                tell(place, self.judge(number, gate));
            }
            return;
        }
        let mut attention = self.is_due(highest);
        for place in places(all) {
            let attention = core::mem::take(&mut attention);
            tell(
                place,
                Accept::Deliver {
                    attention,
                    exposed: false,
                },
            );
        }
    }
}

/// Neighbours in a burst whose numbers are of one block.
#[derive(Clone, Copy)]
struct Group {
    block: u64,
    /// Their numbers, as bits of the block.
    wanted: u32,
    /// Their places, as bits.
    places: u64,
    /// The place after them.
    end: usize,
}

impl Group {
    /// Visits those whose number is one of these.
    fn having(&self, bits: u32, burst: &[u64], mut visit: impl FnMut(usize)) {
        let is_one = |place: &usize| burst.get(*place).is_some_and(|n| bit_of(*n) & bits != 0);
        places(self.places).filter(is_one).for_each(&mut visit);
    }
}

/// What of a burst is in the window now, and was not before.
#[derive(Clone, Copy, Default)]
struct Recorded {
    places: u64,
    highest: u64,
}

impl Recorded {
    /// Of a group, the numbers `fresh` were recorded.
    #[inline]
    fn add(
        &mut self,
        group: &Group,
        fresh: u32,
        burst: &[u64],
        drop: &mut impl FnMut(usize, Replay),
    ) {
        if fresh != 0 {
            self.highest = self.highest.max(highest_of(group.block, fresh));
        }
        if fresh.count_ones() == group.places.count_ones() {
            self.places |= group.places;
            return;
        }
        // Some were there before, or are twice in the burst: of these the first one counts.
        let mut left = fresh;
        for place in places(group.places) {
            let bit = burst.get(place).map_or(0, |number| bit_of(*number));
            if left & bit == 0 {
                drop(place, Replay::Duplicate);
            } else {
                (left, self.places) = (left & !bit, self.places | 1 << place);
            }
        }
    }
}

/// The places whose bit is set.
#[inline]
fn places(mut bits: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let place = bits.trailing_zeros() as usize;
        let found = bits != 0;
        bits &= bits.wrapping_sub(1);
        found.then_some(place)
    })
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replay::{InboundPolicy, Isolated, LAST_NUMBER, WindowImage, WindowSize};
    use crate::sequence::SequenceSpace;

    fn gate(isolated: bool) -> Gate {
        let gate = Gate::new();
        gate.set_open(true);
        gate.set_isolated(isolated);
        gate
    }

    fn fresh(size: u32, policy: InboundPolicy) -> InboundWindow {
        let size = WindowSize::new(size).unwrap();
        InboundWindow::fresh(SequenceSpace::Esn, size, policy)
    }

    /// In a word, what becomes of a packet; attention is told of apart.
    fn fate(accept: &Accept) -> (String, bool) {
        match accept {
            Accept::Deliver { attention, exposed } => (format!("deliver {exposed}"), *attention),
            Accept::Pending(pending) => (format!("pending {}", pending.number()), false),
            Accept::Replay(why) => (format!("{why:?}"), false),
        }
    }

    /// What becomes of each, and how often attention was asked for.
    fn burst(window: &InboundWindow, numbers: &[u64], gate: &Gate) -> (Vec<String>, usize) {
        let (mut fates, mut asked) = (vec![None; numbers.len()], 0);
        window.accept_burst(numbers, gate, |place, accept| {
            let (fate, attention) = fate(&accept);
            assert_eq!(fates[place].replace(fate), None, "told twice of {place}");
            asked += usize::from(attention);
        });
        (fates.into_iter().map(Option::unwrap).collect(), asked)
    }

    fn singly(window: &InboundWindow, numbers: &[u64], gate: &Gate) -> (Vec<String>, usize) {
        let each = |number: &u64| fate(&window.accept(*number, gate));
        let fates: Vec<_> = numbers.iter().map(each).collect();
        let asked = fates.iter().filter(|(_, attention)| *attention).count();
        (fates.into_iter().map(|(fate, _)| fate).collect(), asked)
    }

    fn checked(window: &InboundWindow, numbers: &[u64]) -> Vec<Result<(), Replay>> {
        let mut all = vec![Ok(()); numbers.len()];
        window.check_burst(numbers, |place, why| {
            assert_eq!(core::mem::replace(&mut all[place], Err(why)), Ok(()));
        });
        all
    }

    #[test]
    fn a_burst_of_neighbours_is_delivered_in_order() {
        let window = fresh(64, InboundPolicy::Strict);
        let numbers: Vec<u64> = (1..=200).collect();
        let mut order = vec![];
        window.accept_burst(&numbers, &gate(false), |place, accept| {
            assert!(matches!(accept, Accept::Deliver { .. }), "{accept:?}");
            order.push(place);
        });
        assert_eq!(order, (0..200).collect::<Vec<_>>());
        assert_eq!(window.top(), 200);
    }

    #[test]
    fn of_a_number_that_is_there_twice_the_first_packet_counts() {
        let window = fresh(64, InboundPolicy::Strict);
        let (fates, _) = burst(&window, &[7, 7, 8, 40, 7, 40], &gate(false));
        let [deliver, duplicate] = ["deliver false", "Duplicate"];
        let expected = [deliver, duplicate, deliver, deliver, duplicate, duplicate];
        assert_eq!(fates, expected);
    }

    #[test]
    fn what_is_closed_lets_no_burst_in() {
        let window = fresh(64, InboundPolicy::Strict);
        let closed = vec!["Closed".to_owned(); 70];
        let numbers: Vec<u64> = (1..=70).collect();
        assert_eq!(burst(&window, &numbers, &Gate::new()).0, closed);
        assert!(window.check(1).is_ok());
        window.close();
        assert_eq!(burst(&window, &numbers, &gate(false)).0, closed);
        assert_eq!(burst(&window, &[], &gate(false)).0.len(), 0);
        assert_eq!(checked(&window, &numbers), [Err(Replay::Closed); 70]);
    }

    #[test]
    fn what_lies_above_the_ceiling_waits() {
        let window = fresh(64, InboundPolicy::Strict);
        window.propose(2);
        let (fates, asked) = burst(&window, &[1, 2, 3, 4], &gate(false));
        let expected = ["deliver false", "deliver false", "pending 3", "pending 4"];
        assert_eq!(fates, expected);
        assert_eq!(asked, 1);
        let (fates, _) = burst(&window, &[5, 6], &gate(true));
        assert_eq!(fates, ["deliver true", "deliver true"]);
    }

    fn numbers() -> impl Strategy<Value = Vec<u64>> {
        let run = (0..400_u64, 1..70_u64).prop_map(|(first, len)| (first..first + len).collect());
        let some = proptest::collection::vec(0..400_u64, 0..20);
        let end = u64::from(u32::MAX);
        let ends = Just(vec![end - 1, end, end + 1, LAST_NUMBER, u64::MAX, 1]);
        let part = prop_oneof![4 => run, 3 => some, 1 => ends];
        proptest::collection::vec(part, 0..6).prop_map(|parts: Vec<Vec<u64>>| parts.concat())
    }

    /// Size, policy, floor, lead if there is a ceiling, and the space.
    fn window() -> impl Strategy<Value = (u32, InboundPolicy, u64, Option<u64>, SequenceSpace)> {
        let policy = prop_oneof![Just(InboundPolicy::Strict), Just(InboundPolicy::Resume)];
        let space = prop_oneof![Just(SequenceSpace::Esn), Just(SequenceSpace::Bits32)];
        let lead = proptest::option::of(0..300_u64);
        (32..200_u32, policy, 0..200_u64, lead, space)
    }

    proptest! {
        /// Burst after burst, the same as one packet after the other.
        #[test]
        fn a_burst_is_its_packets_in_turn(
            (packets, policy, floor, lead, space) in window(),
            freezes in any::<bool>(),
            bursts in proptest::collection::vec((numbers(), any::<bool>()), 0..8),
        ) {
            let make = || {
                let size = WindowSize::new(packets).unwrap();
                let image = WindowImage::strict(floor);
                let isolated = if freezes { Isolated::Freeze } else { Isolated::Continue };
                let window = InboundWindow::resume(space, size, policy, &image);
                let window = window.with_isolated(isolated);
                if let Some(lead) = lead {
                    window.propose(lead);
                }
                window
            };
            let (one, other) = (make(), make());
            for (numbers, isolated) in bursts {
                let gate = gate(isolated);
                let check: Vec<_> = numbers.iter().map(|number| one.check(*number)).collect();
                prop_assert_eq!(checked(&other, &numbers), check);
                let (singly, together) = (singly(&one, &numbers, &gate), burst(&other, &numbers, &gate));
                prop_assert_eq!(singly, together);
                prop_assert_eq!(one.top(), other.top());
                prop_assert_eq!(one.image(), other.image());
                prop_assert_eq!(one.current(), other.current());
            }
        }
    }
}
