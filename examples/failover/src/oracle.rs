//! What no unit knows: which numbers were used, by whichever unit.

use std::collections::VecDeque;

use crate::wire::Gateway;

/// A set of numbers for each of many SAs.
///
/// Numbers of an SA lie in a few runs: they grow by one, and jump at takeovers. So they are kept
/// as bitmaps of 512, the newest first at hand.
#[derive(Debug)]
pub struct NumberSet {
    sas: Vec<Vec<(u64, u32)>>,
    pages: Vec<[u64; PAGE_WORDS]>,
    limit: usize,
}

/// The set is full. What is not recorded is not checked, so a run that sees this has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl NumberSet {
    /// An empty set for `sas` SAs, of at most `limit` pages of about 80 bytes.
    pub fn new(sas: u32, limit: usize) -> Self {
        Self {
            sas: vec![Vec::new(); sas as usize],
            pages: Vec::new(),
            limit,
        }
    }

    /// Adds a number. Returns whether it is new.
    ///
    /// # Errors
    /// [`Full`] if it is not there and there is no room for it, or there is no such SA.
    pub fn insert(&mut self, sa: u32, number: u64) -> Result<bool, Full> {
        let (name, word, bit) = place(number);
        let page = match self.page(sa, name) {
            Some(page) => page,
            None => self.add_page(sa, name)?,
        };
        let word = &mut self.pages[page][word];
        let new = *word & bit == 0;
        *word |= bit;
        Ok(new)
    }

    /// Whether a number is in the set.
    pub fn contains(&self, sa: u32, number: u64) -> bool {
        let (name, word, bit) = place(number);
        self.page(sa, name)
            .is_some_and(|page| self.pages[page][word] & bit != 0)
    }

    fn page(&self, sa: u32, name: u64) -> Option<usize> {
        let pages = self.sas.get(sa as usize)?;
        let found = pages.iter().rev().find(|(page, _)| *page == name);
        found.map(|(_, index)| *index as usize)
    }

    fn add_page(&mut self, sa: u32, name: u64) -> Result<usize, Full> {
        let index = self.pages.len();
        let pages = self.sas.get_mut(sa as usize).ok_or(Full)?;
        let short = u32::try_from(index).map_err(|_| Full)?;
        if index >= self.limit {
            return Err(Full);
        }
        pages.push((name, short));
        self.pages.push([0; PAGE_WORDS]);
        Ok(index)
    }
}

/// Page, word and bit of a number.
fn place(number: u64) -> (u64, usize, u64) {
    let within = number % PAGE_NUMBERS;
    (
        number / PAGE_NUMBERS,
        (within / 64) as usize,
        1 << (within % 64),
    )
}

/// A number that was used twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reuse {
    /// When the second packet was seen, in nanoseconds of the run's clock.
    pub at_ns: u64,
    /// The SA pair.
    pub sa: u32,
    /// The number.
    pub number: u64,
    /// Who sent the second packet.
    pub unit: Option<Gateway>,
}

/// Judges the ESP packets that the gateways sent: no number twice, whoever sent it, whatever is
/// in the packet. Even identical bytes count: nothing on this line duplicates packets, so they
/// were sent twice.
#[derive(Debug)]
pub struct Oracle {
    used: NumberSet,
    reused: u64,
    overflowed: u64,
    examples: VecDeque<Reuse>,
}

impl Oracle {
    /// An oracle over `sas` outbound SAs.
    pub fn new(sas: u32, limit: usize) -> Self {
        Self {
            used: NumberSet::new(sas, limit),
            reused: 0,
            overflowed: 0,
            examples: VecDeque::new(),
        }
    }

    /// Sees an ESP packet of a gateway.
    pub fn see(&mut self, packet: Reuse) {
        match self.used.insert(packet.sa, packet.number) {
            Ok(true) => {}
            Ok(false) => {
                self.reused += 1;
                if self.examples.len() < EXAMPLES {
                    self.examples.push_back(packet);
                }
            }
            Err(Full) => self.overflowed += 1,
        }
    }

    /// Numbers used twice so far.
    pub fn reused(&self) -> u64 {
        self.reused
    }

    /// Packets that could not be judged for lack of room.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The first few numbers used twice.
    pub fn examples(&self) -> impl Iterator<Item = &Reuse> {
        self.examples.iter()
    }
}

const PAGE_WORDS: usize = 8;
const PAGE_NUMBERS: u64 = 64 * PAGE_WORDS as u64;
const EXAMPLES: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn it_is_a_set() {
        let mut set = NumberSet::new(3, 10_000);
        let mut model = HashSet::new();
        let mut random: u64 = 7;
        for _ in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let sa = (random >> 40) as u32 % 3;
            let jump = (random >> 33) % 3 * 100_000;
            let number = jump + (random >> 48) % 2_000;
            assert_eq!(set.contains(sa, number), model.contains(&(sa, number)));
            let new = model.insert((sa, number));
            assert_eq!(set.insert(sa, number), Ok(new));
        }
    }

    #[test]
    fn it_says_when_it_is_full() {
        let mut set = NumberSet::new(1, 2);
        assert_eq!(set.insert(0, 1), Ok(true));
        assert_eq!(set.insert(0, 600), Ok(true));
        assert_eq!(set.insert(0, 1200), Err(Full));
        assert_eq!(set.insert(0, 601), Ok(true));
        assert_eq!(set.insert(1, 1), Err(Full));
        assert!(!set.contains(1, 1) && !set.contains(0, 1200));
    }

    #[test]
    fn a_number_used_twice_is_found_whoever_used_it() {
        let mut oracle = Oracle::new(2, 100);
        let packet = |sa, number, unit| Reuse {
            at_ns: 0,
            sa,
            number,
            unit: Some(unit),
        };
        oracle.see(packet(0, 5, Gateway::A));
        oracle.see(packet(1, 5, Gateway::A));
        oracle.see(packet(0, 6, Gateway::A));
        assert_eq!(oracle.reused(), 0);
        oracle.see(packet(0, 5, Gateway::B));
        oracle.see(packet(1, 5, Gateway::A));
        assert_eq!(oracle.reused(), 2);
        assert!(
            oracle
                .examples()
                .eq(&[packet(0, 5, Gateway::B), packet(1, 5, Gateway::A)])
        );
        oracle.see(packet(7, 1, Gateway::A));
        assert_eq!(oracle.overflowed(), 1);
    }
}
