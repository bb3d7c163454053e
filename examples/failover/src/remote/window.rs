//! The remote site's own replay check, as plain as RFC 4303 §3.4.3 and RFC 6479 describe it.
//!
//! On purpose it shares nothing with the windows of the gateways: it is what judges them.

/// A replay window of [`Window::SIZE`] packets, for one SA and one thread.
#[derive(Clone, Debug)]
pub struct Window {
    /// Highest number accepted.
    top: u64,
    /// Ring of bits for the numbers up to `top`; one word more than the window needs (RFC 6479).
    ring: [u64; RING],
}

impl Window {
    /// Numbers below the top that may still come (RFC 4303 §3.4.3 asks for 32 and suggests 64).
    pub const SIZE: u64 = 64;

    /// A window that accepted nothing.
    pub fn new() -> Self {
        Self {
            top: 0,
            ring: [0; RING],
        }
    }

    /// Whether a number would be accepted.
    pub fn check(&self, number: u64) -> bool {
        if number == 0 || number + Self::SIZE <= self.top {
            return false;
        }
        number > self.top || self.ring[slot(number)] & bit(number) == 0
    }

    /// Accepts an authentic packet's number unless it was accepted before or is too old.
    pub fn accept(&mut self, number: u64) -> bool {
        if !self.check(number) {
            return false;
        }
        if number > self.top {
            let (from, to) = (self.top / 64, number / 64);
            // Words that the window moves over are those of numbers never seen; after a long jump
            // that is every word.
            for block in (from + 1..=to).take(RING) {
                self.ring[(block % RING as u64) as usize] = 0;
            }
            self.top = number;
        }
        self.ring[slot(number)] |= bit(number);
        true
    }

    /// The 64-bit number that the low half in a packet stands for (RFC 4303 appendix A2.2).
    pub fn infer(&self, low: u32) -> u64 {
        let (high, top_low) = (self.top >> 32, self.top as u32);
        let bottom = top_low.wrapping_sub(Self::SIZE as u32 - 1);
        let high = if top_low >= Self::SIZE as u32 - 1 {
            // Case A: the window lies within one subspace.
            if low >= bottom { high } else { high + 1 }
        } else if low >= bottom {
            // Case B: it spans two, and this is the lower.
            high.saturating_sub(1)
        } else {
            high
        };
        high << 32 | u64::from(low)
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

fn slot(number: u64) -> usize {
    (number / 64 % RING as u64) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

const RING: usize = 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The definition: accept what is within the window of the highest and was not accepted.
    #[derive(Default)]
    struct Model(BTreeSet<u64>);

    impl Model {
        fn accept(&mut self, number: u64) -> bool {
            let top = self.0.last().copied().unwrap_or(0);
            number > 0 && number + Window::SIZE > top && self.0.insert(number)
        }
    }

    #[test]
    fn it_accepts_exactly_what_the_definition_accepts() {
        let mut random: u64 = 0x1234_5678_9abc_def1;
        let mut draw = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 33) % bound
        };
        for _ in 0..200 {
            let (mut window, mut model) = (Window::new(), Model::default());
            for _ in 0..500 {
                let top = window.top;
                let number = match draw(8) {
                    0 => top + draw(400),
                    1 => top + 1,
                    2 => draw(top + 2),
                    3 => top + Window::SIZE * draw(4),
                    _ => (top + 3).saturating_sub(draw(Window::SIZE + 6)),
                };
                assert_eq!(window.check(number), window.clone().accept(number));
                assert_eq!(
                    window.accept(number),
                    model.accept(number),
                    "{number} at {top}"
                );
            }
        }
    }

    #[test]
    fn a_long_jump_forgets_all() {
        let mut window = Window::new();
        for number in 1..=200 {
            assert!(window.accept(number) && !window.accept(number));
        }
        for jump in [127, 128, 129, 192, 1 << 20, 1 << 33] {
            let next = window.top + jump;
            assert!(window.accept(next));
            for number in next - 63..next {
                assert!(window.accept(number), "{number}");
            }
            assert!(!window.check(next - 64));
        }
    }

    #[test]
    fn the_high_half_is_inferred_as_in_the_appendix() {
        let at = |top| Window {
            top,
            ring: [0; RING],
        };
        let turn = 1_u64 << 32;
        for (top, low, number) in [
            (0, 1, 1),
            (100, 50, 50),
            (100, 36, turn + 36),
            (turn - 1, 0, turn),
            (turn - 1, u32::MAX - 10, turn - 11),
            (turn + 10, u32::MAX, turn - 1),
            (turn + 10, 11, turn + 11),
            (turn + 10, 0x8000_0000, turn + 0x8000_0000),
            (5 * turn + 100, 99, 5 * turn + 99),
        ] {
            assert_eq!(at(top).infer(low), number, "top {top}, low {low}");
        }
    }
}
