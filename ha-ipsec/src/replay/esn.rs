//! The high half of an extended sequence number, which is not sent.

/// The number whose low half is `low`, as seen by a window of `size` packets whose highest number is
/// `top`.
///
/// RFC 4303, A2.2, where `T` is the top, `W` the size, and `Bl` the low half of the window's bottom:
///
/// > Under Case A (Figure 1):
/// > If Seql >= Bl (where Bl = Tl - W + 1), then Seqh = Th
/// > If Seql <  Bl (where Bl = Tl - W + 1), then Seqh = Th + 1
/// >
/// > Under Case B (Figure 2):
/// > If Seql >= Bl (where Bl = Tl - W + 1), then Seqh = Th - 1
/// > If Seql <  Bl (where Bl = Tl - W + 1), then Seqh = Th
pub(super) const fn infer(top: u64, size: u32, low: u32) -> u64 {
    let (high, top_low) = (top >> 32, top as u32);
    let bottom = top_low.wrapping_sub(size - 1);
    let in_one_subspace = top_low >= size - 1; // Case A
    let high = match (in_one_subspace, low >= bottom) {
        (true, true) | (false, false) => high,
        (true, false) => high + 1,
        // The RFC's equations lead below 0 at the very beginning, where there is no subspace but
        // the first: the number lies far ahead then.
        (false, true) => high.saturating_sub(1),
    };
    high << 32 | low as u64
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::infer;

    const TURN: u64 = 1 << 32;

    #[test]
    fn case_a_goes_on_in_this_subspace_or_begins_the_next() {
        let top = 5 * TURN + 1000;
        assert_eq!(infer(top, 64, 1000), top);
        assert_eq!(infer(top, 64, 937), 5 * TURN + 937, "the bottom");
        assert_eq!(infer(top, 64, 936), 6 * TURN + 936, "one below it");
        assert_eq!(infer(top, 64, u32::MAX), 5 * TURN + TURN - 1);
        assert_eq!(infer(5 * TURN + 63, 64, 0), 5 * TURN, "just case A");
    }

    #[test]
    fn case_b_reaches_back_into_the_last_subspace() {
        let top = 5 * TURN + 10;
        let bottom = (TURN + 10 - 63) as u32;
        assert_eq!(infer(top, 64, 10), top);
        assert_eq!(infer(top, 64, 0), 5 * TURN);
        assert_eq!(infer(top, 64, bottom), 4 * TURN + u64::from(bottom));
        assert_eq!(infer(top, 64, bottom - 1), 5 * TURN + u64::from(bottom - 1));
        assert_eq!(infer(5 * TURN + 62, 64, u32::MAX), 5 * TURN - 1);
    }

    #[test]
    fn nothing_comes_before_the_first_subspace() {
        assert_eq!(infer(0, 64, 1), 1);
        assert_eq!(infer(0, 64, u32::MAX), TURN - 1);
    }
}
