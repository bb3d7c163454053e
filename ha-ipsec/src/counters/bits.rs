//! A bit for each slot.

/// Bits by slot; those that were never set are not there, and count as clear.
#[derive(Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn get(&self, slot: u32) -> bool {
        let word = self.0.get(slot as usize / 64).copied().unwrap_or(0);
        word >> (slot % 64) & 1 == 1
    }

    pub(super) fn set(&mut self, slot: u32, on: bool) {
        let (index, bit) = (slot as usize / 64, 1 << (slot % 64));
        if on && index >= self.0.len() {
            self.0.resize(index + 1, 0);
        }
        if let Some(word) = self.0.get_mut(index) {
            *word = if on { *word | bit } else { *word & !bit };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Bits;

    #[test]
    fn each_slot_has_its_own() {
        let mut bits = Bits::default();
        bits.set(1000, false);
        for slot in [0, 63, 64, 1000] {
            assert!(!bits.get(slot));
            bits.set(slot, true);
            assert!(bits.get(slot) && !bits.get(slot + 1) && !bits.get(5000));
        }
        bits.set(63, false);
        assert!(!bits.get(63) && bits.get(64) && bits.get(0));
    }
}
