//! Protections left out on purpose.

/// Protections that a counter leaves out, to prove that tests find it. Not for use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(
    not(any(test, feature = "planted")),
    expect(unreachable_pub, reason = "public with the feature")
)]
pub struct Planted {
    /// Taking over starts right behind the reservation, as if the old active unit had no budget.
    pub jump_without_budget: bool,
    /// A reservation is used as soon as it is proposed.
    pub use_before_acknowledged: bool,
    /// A new SA stays unbounded when its record leaves.
    pub never_bounded: bool,
    /// Numbers that a second active unit may have used are not skipped.
    pub contests_ignored: bool,
}
