//! Sequence numbers and windows of the kernel's SAs.
//!
//! The kernel has two forms: XFRMA_REPLAY_VAL for 32-bit numbers with windows up to 32, and
//! XFRMA_REPLAY_ESN_VAL for 64-bit numbers or wider windows (net/xfrm/xfrm_replay.c). An SA keeps the
//! form that it was made with; [`ReplayForm::of`] tells which. A [`ReplayState`] is the same in both.

use super::xfrm::{Attribute, Attributes, ReplayEsn, ReplayLegacy, Sa, SaInfo, state_flag};

/// The numbers and the window of one SA.
///
/// The kernel sets whatever it is given: an old state rewinds an SA, and with AES-GCM a number used
/// twice may be a nonce used twice. Ask [`is_ahead_of`](Self::is_ahead_of) before, or
/// [`merge`](Self::merge).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplayState {
    /// The last number sent; 0 before the first.
    pub outbound: u64,
    /// The highest number received; 0 before the first.
    pub inbound: u64,
    /// Bit `n % 64` of word `n / 64` says whether the number `inbound - n` was received, for `n`
    /// below `window`. Bits beyond are 0; missing words are 0.
    pub seen: Vec<u64>,
    /// How far the window reaches back, in packets; 0 checks nothing.
    pub window: u32,
}

/// The form of numbers and window that an SA was made with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReplayForm {
    /// XFRMA_REPLAY_VAL.
    Legacy {
        /// The window in packets, at most 32.
        window: u32,
    },
    /// XFRMA_REPLAY_ESN_VAL.
    Esn {
        /// The window in packets.
        window: u32,
        /// Words of the bitmap. They must be as many as the SA has, or the kernel refuses them.
        words: usize,
        /// Whether the numbers have 64 bits.
        extended: bool,
    },
}

impl ReplayForm {
    /// The form of an SA that the kernel showed.
    pub fn of(sa: &Sa) -> Self {
        Self::of_parts(&sa.info, &sa.attributes)
    }

    fn of_parts(info: &SaInfo, attributes: &Attributes) -> Self {
        attributes.replay_esn().map_or(
            Self::Legacy {
                window: info.replay_window.min(32).into(),
            },
            |esn| Self::Esn {
                window: reach(esn),
                words: esn.bmp.len(),
                extended: info.flags & state_flag::ESN != 0,
            },
        )
    }

    /// The form for a new SA with a window of `window` packets.
    pub const fn for_window(window: u32, extended: bool) -> Self {
        if window <= 32 && !extended {
            return Self::Legacy { window };
        }
        Self::Esn {
            window,
            words: window.div_ceil(32) as usize,
            extended,
        }
    }

    /// The window, in packets.
    pub const fn window(self) -> u32 {
        match self {
            Self::Legacy { window } | Self::Esn { window, .. } => window,
        }
    }

    const fn extended(self) -> bool {
        matches!(self, Self::Esn { extended: true, .. })
    }
}

/// Why the kernel cannot be given a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A number of more than 32 bits for an SA without extended numbers.
    #[error("sequence number {number} for an SA of 32-bit numbers; the state is another SA's")]
    Number {
        /// The number.
        number: u64,
    },
    /// A window that its form has no room for.
    #[error("a window of {window} packets where {allowed} are possible; make it smaller")]
    Window {
        /// The window in packets.
        window: u32,
        /// The most that its form has room for.
        allowed: u32,
    },
}

impl ReplayState {
    /// The state of an SA that the kernel showed; `None` without XFRMA_REPLAY_VAL and
    /// XFRMA_REPLAY_ESN_VAL, which leave an SA at its beginning.
    pub fn of(sa: &Sa) -> Option<Self> {
        Self::from_attributes(&sa.attributes, ReplayForm::of(sa))
    }

    /// The state in the attributes of an SA or an async event, for an SA of this form. An async event
    /// does not say the window, nor whether numbers are extended: the form must be the SA's own.
    pub fn from_attributes(attributes: &Attributes, form: ReplayForm) -> Option<Self> {
        match (attributes.replay_esn(), attributes.replay()) {
            (Some(esn), _) => Some(from_esn(esn, form.extended())),
            (None, Some(legacy)) => Some(from_legacy(legacy, form.window().min(32))),
            (None, None) => None,
        }
    }

    /// The attribute that sets this state on an SA of the given form. Numbers that the SA's window
    /// reaches and this one does not count as received.
    ///
    /// # Errors
    /// If a number or the window is too large for the form.
    pub fn attribute(&self, form: ReplayForm) -> Result<Attribute, ReplayError> {
        if !form.extended() {
            let number = self.outbound.max(self.inbound);
            if number > u32::MAX.into() {
                return Err(ReplayError::Number { number });
            }
        }
        match form {
            ReplayForm::Legacy { window } => self.legacy(window).map(Attribute::Replay),
            ReplayForm::Esn { window, words, .. } => {
                self.esn(window, words).map(Attribute::ReplayEsn)
            }
        }
    }

    /// Whether `number` was received, or lies below the window: whether a packet with it is refused.
    pub fn is_seen(&self, number: u64) -> bool {
        match self.inbound.checked_sub(number) {
            None => false,
            Some(back) if back < self.window.into() => self.bit(back),
            Some(_) => true,
        }
    }

    /// Whether an SA with the state `other` may be set to this one without rewinding anything: no
    /// number is below, and whatever `other` refuses this one refuses too. Holds for equal states.
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        let reach = u64::from(other.window).min(other.inbound);
        self.outbound >= other.outbound
            && self.inbound >= other.inbound
            && (0..reach).all(|back| !other.bit(back) || self.is_seen(other.inbound - back))
            && (self.lowest()..other.lowest()).all(|number| self.is_seen(number))
    }

    /// Whether a window refuses what `other` refuses, and nothing else above its own reach.
    pub(crate) fn is_window_of(&self, other: &Self) -> bool {
        let reach = u64::from(self.window).min(self.inbound);
        self.inbound == other.inbound
            && (0..reach).all(|back| self.bit(back) == other.is_seen(self.inbound - back))
    }

    /// The least state that is ahead of both, with the smaller window.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let inbound = self.inbound.max(other.inbound);
        let window = self.window.min(other.window);
        let mut merged = Self {
            outbound: self.outbound.max(other.outbound),
            inbound,
            seen: Vec::new(),
            window,
        };
        for back in 0..u64::from(window).min(inbound) {
            let number = inbound - back;
            if self.is_seen(number) || other.is_seen(number) {
                merged.mark(back);
            }
        }
        merged
    }

    /// The lowest number that is not refused for its age.
    fn lowest(&self) -> u64 {
        self.inbound
            .saturating_sub(self.window.into())
            .saturating_add(1)
    }

    fn bit(&self, back: u64) -> bool {
        let word = usize::try_from(back / 64).ok();
        let word = word.and_then(|word| self.seen.get(word));
        word.is_some_and(|word| word >> (back % 64) & 1 == 1)
    }

    /// `back` is below a window.
    fn mark(&mut self, back: u64) {
        let word = (back / 64) as usize;
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if let Some(word) = self.seen.get_mut(word) {
            *word |= 1 << (back % 64);
        }
    }

    /// Whether the number `back` below the top is to be refused by a window that reaches it; numbers
    /// below 1 do not exist.
    fn refused(&self, back: u32) -> bool {
        u64::from(back) < self.inbound && self.is_seen(self.inbound - u64::from(back))
    }

    fn legacy(&self, window: u32) -> Result<ReplayLegacy, ReplayError> {
        let allowed = 32;
        if window > allowed {
            return Err(ReplayError::Window { window, allowed });
        }
        let bits = (0..window).filter(|back| self.refused(*back));
        Ok(ReplayLegacy {
            oseq: low(self.outbound),
            seq: low(self.inbound),
            bitmap: bits.fold(0, |bitmap, back| bitmap | 1 << back),
        })
    }

    fn esn(&self, window: u32, words: usize) -> Result<ReplayEsn, ReplayError> {
        let allowed = 32 * words.min(ReplayEsn::MAX_WORDS) as u32;
        if window > allowed || words > ReplayEsn::MAX_WORDS {
            return Err(ReplayError::Window { window, allowed });
        }
        let mut bmp = vec![0; words];
        for back in (0..window).filter(|back| self.refused(*back)) {
            let place = place(low(self.inbound), back, window);
            if let Some(word) = bmp.get_mut(place as usize / 32) {
                *word |= 1 << (place % 32);
            }
        }
        Ok(ReplayEsn {
            oseq: low(self.outbound),
            seq: low(self.inbound),
            oseq_hi: (self.outbound >> 32) as u32,
            seq_hi: (self.inbound >> 32) as u32,
            replay_window: window,
            bmp,
        })
    }
}

fn from_legacy(legacy: &ReplayLegacy, window: u32) -> ReplayState {
    let mut state = ReplayState {
        outbound: legacy.oseq.into(),
        inbound: legacy.seq.into(),
        seen: Vec::new(),
        window,
    };
    for back in (0..window).filter(|back| legacy.bitmap >> back & 1 == 1) {
        state.mark(back.into());
    }
    state
}

fn from_esn(esn: &ReplayEsn, extended: bool) -> ReplayState {
    let number = |high: u32, low: u32| match extended {
        true => u64::from(high) << 32 | u64::from(low),
        false => low.into(),
    };
    let window = reach(esn);
    let mut state = ReplayState {
        outbound: number(esn.oseq_hi, esn.oseq),
        inbound: number(esn.seq_hi, esn.seq),
        seen: Vec::new(),
        window,
    };
    for back in 0..window {
        let place = place(esn.seq, back, window);
        let word = esn.bmp.get(place as usize / 32);
        if word.is_some_and(|word| word >> (place % 32) & 1 == 1) {
            state.mark(back.into());
        }
    }
    state
}

/// The window. More than the bitmap has room for is never sent by the kernel.
fn reach(esn: &ReplayEsn) -> u32 {
    esn.replay_window.min(32 * esn.bmp.len() as u32)
}

/// The bit of the number that is `back` below `top`, as xfrm_replay_check_esn finds it: it counts
/// back from the top's, `(top - 1) % window`. `back` is below `window`.
const fn place(top: u32, back: u32, window: u32) -> u32 {
    let top = top.wrapping_sub(1) % window;
    match top.checked_sub(back) {
        Some(place) => place,
        None => window - (back - top),
    }
}

const fn low(number: u64) -> u32 {
    number as u32
}

#[cfg(all(test, not(loom)))]
mod tests;
