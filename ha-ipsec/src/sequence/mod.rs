//! Outbound sequence numbers: reserve, do not report.
//!
//! A standby that is told a counter after the fact must guess how far the active unit got since. Here
//! it learns an upper bound *before* numbers below it are used: the active unit proposes a
//! reservation, the standby acknowledges it, and only then may packets use it. No number is used
//! twice under one key, under any schedule of crashes, hangs, restarts and partitions. With AES-GCM
//! a number used twice can be a nonce used twice (RFC 4106 §3.1), so nothing here rests on a clock, on
//! an election, or on the other unit being dead.
//!
//! [`OutboundCounter`] is the counter of one SA on the unit that is active for it, [`LeadSizer`] says
//! how far ahead to reserve.
//!
//! # Why no number is used twice
//!
//! ## Between units
//! Of one SA and one active unit let *A* be the highest acknowledged reservation (`limit`), *R* the
//! highest that the standby received, *S* the highest ever put on the wire, and *J* the autonomy
//! budget, a constant that both units know. A link can lose but not invent, so always `A <= R <= S`.
//!
//! ```text
//!                A            A+J           R+J+1             R+2J        S+2J+1
//! ───────────────┼─────────────┼──────────────┼─────────────────┼────────────┼──────────────▶
//!  the active    │ the active, │              │ a unit that     │            │ the active, after
//!  unit, standby │ standby     │              │ took over with  │            │ it was contested,
//!  in reach      │ lost        │              │ R, and is alone │            │ once acknowledged
//! ```
//!
//! 1. The active unit uses `n <= A`, and `n <= A + J` while the table's [`Gate`] says that it is
//!    isolated. Nobody needs to count how often it is isolated: A moves only with an acknowledgement.
//! 2. A unit takes over at `R + J + 1`, always: after a crash, a partition, a command. Its own A is
//!    `R + J`, so alone it uses up to `R + 2J`. As `A <= R`, two units that are active at once and
//!    know nothing of each other use disjoint numbers. Neither can get beyond: each would need an
//!    acknowledgement of the other, which an active unit does not give.
//! 3. When they meet, or when the standby comes back without what it had (it may have been active in
//!    between, and have lost or flushed its memory), the unit that stays active has been
//!    [contested](OutboundCounter::contest): the other may have begun from any `R <= S`, and have got
//!    to `S + 2J`. The active one keeps to its own zone, `n <= A + J`, until a reservation beyond
//!    `S + 2J` is acknowledged, and goes on above. If nothing of this unit's reservations ever left,
//!    there is no R to begin from, and nothing to skip.
//! 4. A unit that stops being active drops its counters. It may take over again only with what it
//!    received from the latest active unit: its own old A is not an R.
//! 5. A new SA is known to one unit only and is not bounded, until its record first leaves: it is
//!    bounded *before* it is encoded, and the record says the bound or more. Whoever has the SA at
//!    all has an `R >= A`.
//! 6. A fencing authority can say that the other unit's process is gone, and with it all that it
//!    held. It may have been active before, unheard of: up to `S + 2J` is skipped as in 3. Then nobody
//!    has an R, and the SA is [as free as a new one](OutboundCounter::lift), until its record leaves
//!    again.
//!
//! ## Between threads
//! Several packet threads call [`next`](OutboundCounter::next) and [`take`](OutboundCounter::take);
//! one control thread calls the rest. No `SeqCst`: where each side writes one place and reads the
//! other's, both use a read-modify-write of `next`, and of those one comes first.
//!
//! ```text
//! packet thread                          control thread
//! ─────────────                          ──────────────
//! 1 look: next.load         Relaxed      bound (new SA, before its record is encoded):
//!         limit.load        Relaxed        limit.store(v)           Relaxed
//!   beyond: refuse, take nothing           next.fetch_add(0)        Release  ─┐ numbers below it are
//! 2 n = next.fetch_add      Acquire        beyond v? raise v, again           ┘ out, later ones see v
//! 3 limit.load              Acquire
//!   beyond: n is lost, look again        acknowledge (contested: with the jump to T = S + 2J + 1):
//! 4 base.load               Relaxed        next.fetch_max(T)        Relaxed
//!   n below: n is lost, look again         base.store(T)            Relaxed  ─┐ who sees this limit
//! 5 low_water.load          Relaxed        limit.store(R)           Release  ─┘ sees this base
//!   reached: compare_exchange, and
//!   who wins asks for attention          close: next.fetch_or(CLOSED)  Relaxed
//! ```
//!
//! - *Each number once*: it comes from a `fetch_add`, and nothing ever lowers `next`.
//! - *Not beyond the limit*: 3 comes after 2. Limits of one counter only grow, but for the one step
//!   from unbounded to bounded.
//! - *That step*: if 2 precedes bound's `fetch_add(0)`, the control thread sees that n is out and
//!   proposes no less. Otherwise 2 reads from it or from a later read-modify-write, all of one release
//!   sequence, and 3 sees the bounded limit. Threads that still saw none are at most one number
//!   each, so the loop ends.
//! - *The jump*: a thread may have taken an `n` beyond `A + J` and not yet looked at the limit when
//!   the acknowledgement of a higher one arrives. Such an n may be the other unit's. Limit and base
//!   are a release-acquire pair, so a thread whom the new limit would let pass sees the base and
//!   drops n. The base moves with the limit and not when contested: until then the unit's own zone,
//!   below it, is in use. (That `next` moves before both is not needed for this; it saves threads
//!   from running through what is skipped.)
//! - *Close*: the bit is in the word that hands out numbers: what is taken later has it.
//! - The look costs no safety and is needed for liveness: a sender that spins without credit must not
//!   drive `next` away. A thread overshoots at most once for each limit, which costs numbers only.
//!
//! `models.rs` explores these steps under loom; `tests/two_units.rs` searches the zones at random,
//! and finds reuse as soon as any one of the five protections is left out.
//!
//! [`Gate`]: crate::gate::Gate

mod counter;
mod lead;
mod planted;
mod verdict;

pub use counter::{OutboundCounter, Proposal};
pub use lead::{LeadConfig, LeadSizer};
#[cfg(any(test, feature = "planted"))]
pub use planted::Planted;
pub use verdict::{
    Granted, GrantedRange, MAX_BUDGET, Outside, Refused, RekeyReason, SequenceSpace,
};

#[cfg(test)]
#[cfg(loom)]
mod models;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
