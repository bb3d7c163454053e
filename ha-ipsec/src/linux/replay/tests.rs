//! Against the kernel's own way of keeping windows, and against a set.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What net/xfrm/xfrm_replay.c does with a packet that passed: xfrm_replay_advance_esn and _bmp, with
/// the clearing loops written plainly.
fn advance_esn(state: &mut ReplayEsn, number: u64) {
    let window = state.replay_window;
    let bit = |place: u32| (place as usize / 32, 1_u32 << (place % 32));
    let top = u64::from(state.seq_hi) << 32 | u64::from(state.seq);
    let pos = state.seq.wrapping_sub(1) % window;
    let place = if number > top {
        let diff = number - top;
        for step in 1..diff.min(window.into()) {
            let (word, mask) = bit((pos + step as u32) % window);
            state.bmp[word] &= !mask;
        }
        if diff >= window.into() {
            state.bmp.fill(0);
        }
        (state.seq, state.seq_hi) = (number as u32, (number >> 32) as u32);
        ((u64::from(pos) + diff) % u64::from(window)) as u32
    } else {
        let diff = (top - number) as u32;
        if pos >= diff {
            pos - diff
        } else {
            window - (diff - pos)
        }
    };
    let (word, mask) = bit(place);
    state.bmp[word] |= mask;
}

/// xfrm_replay_advance.
fn advance_legacy(state: &mut ReplayLegacy, window: u32, number: u32) {
    if number > state.seq {
        let diff = number - state.seq;
        state.bitmap = if diff < window {
            state.bitmap << diff | 1
        } else {
            1
        };
        state.seq = number;
    } else {
        state.bitmap |= 1 << (state.seq - number);
    }
}

struct Model {
    seen: BTreeSet<u64>,
    window: u64,
}

impl Model {
    fn top(&self) -> u64 {
        self.seen.last().copied().unwrap_or(0)
    }

    fn refuses(&self, number: u64) -> bool {
        self.seen.contains(&number) || number + self.window <= self.top()
    }
}

/// Numbers around each other, none refused twice.
fn packets(begin: u64, steps: Vec<i16>, window: u32) -> Model {
    let mut model = Model {
        seen: BTreeSet::new(),
        window: window.into(),
    };
    let mut at = begin;
    for step in steps {
        at = at.saturating_add_signed(step.into()).max(1);
        if !model.refuses(at) {
            model.seen.insert(at);
        }
    }
    model
}

/// The same order is not needed: the state is a set and a top, but they must come in one that the
/// window allows.
fn arrivals(model: &Model) -> Vec<u64> {
    model.seen.iter().copied().collect()
}

fn agree(state: &ReplayState, model: &Model, also: &[u64]) {
    assert_eq!(state.inbound, model.top());
    let from = model.top().saturating_sub(model.window + 40).max(1);
    let near = from..=model.top() + 40;
    for number in near.chain(also.iter().copied()) {
        assert_eq!(
            state.is_seen(number),
            model.refuses(number),
            "{number} in {state:?}"
        );
    }
}

fn attributes(attribute: Attribute) -> Attributes {
    Attributes::from_iter([attribute])
}

/// The two forms, with windows that are powers of two: with others the kernel itself loses its place
/// when the lower half wraps.
fn windows() -> impl Strategy<Value = u32> {
    prop_oneof![Just(32_u32), Just(64), Just(1024), Just(4096)]
}

fn steps() -> impl Strategy<Value = Vec<i16>> {
    vec(prop_oneof![-40_i16..40, -1000_i16..1500], 1..60)
}

proptest! {
    #[test]
    fn esn_is_read_as_the_kernel_keeps_it(
        window in windows(),
        begin in prop_oneof![1_u64..50, (1_u64 << 32) - 60..(1_u64 << 32) + 60, any::<u32>().prop_map(|n| 9 << 40 | u64::from(n))],
        steps in steps(),
    ) {
        let model = packets(begin, steps, window);
        let mut kernel = ReplayEsn { replay_window: window, bmp: vec![0; window.div_ceil(32) as usize], ..ReplayEsn::default() };
        for number in arrivals(&model) {
            advance_esn(&mut kernel, number);
        }
        let form = ReplayForm::for_window(window, true);
        let state = ReplayState::from_attributes(&attributes(Attribute::ReplayEsn(kernel.clone())), form).unwrap();
        agree(&state, &model, &[begin]);
        // And written as it was read.
        prop_assert_eq!(state.attribute(form).unwrap(), Attribute::ReplayEsn(kernel));
    }

    #[test]
    fn legacy_is_read_as_the_kernel_keeps_it(window in 1_u32..=32, begin in 1_u64..1 << 31, steps in steps()) {
        let model = packets(begin, steps, window);
        let mut kernel = ReplayLegacy::default();
        for number in arrivals(&model) {
            advance_legacy(&mut kernel, window, number as u32);
        }
        let form = ReplayForm::for_window(window, false);
        let state = ReplayState::from_attributes(&attributes(Attribute::Replay(kernel)), form).unwrap();
        agree(&state, &model, &[begin]);
        // The kernel leaves bits beyond the window as they are.
        kernel.bitmap &= u32::MAX >> (32 - window);
        prop_assert_eq!(state.attribute(form).unwrap(), Attribute::Replay(kernel));
    }

    #[test]
    fn other_windows_refuse_no_less(from in windows(), to in windows(), begin in 1_u64..1 << 40, steps in steps()) {
        let model = packets(begin, steps, from);
        let mut kernel = ReplayEsn { replay_window: from, bmp: vec![0; from.div_ceil(32) as usize], ..ReplayEsn::default() };
        for number in arrivals(&model) {
            advance_esn(&mut kernel, number);
        }
        let (here, there) = (ReplayForm::for_window(from, true), ReplayForm::for_window(to, true));
        let state = ReplayState::from_attributes(&attributes(Attribute::ReplayEsn(kernel)), here).unwrap();
        let moved = ReplayState::from_attributes(&attributes(state.attribute(there).unwrap()), there).unwrap();
        prop_assert!(moved.is_ahead_of(&state));
        let least = model.top().saturating_sub(5000).max(1);
        for number in least..=model.top() + 1 {
            let refused = state.is_seen(number) || number + u64::from(to) <= state.inbound;
            prop_assert_eq!(moved.is_seen(number), refused, "{}", number);
        }
    }

    #[test]
    fn merging_rewinds_neither(window in windows(), begin in 1_u64..1 << 33, one in steps(), two in steps(), sent in any::<[u32; 2]>()) {
        let [one, two] = [(one, sent[0]), (two, sent[1])].map(|(steps, sent)| {
            let model = packets(begin, steps, window);
            let mut state = ReplayState { outbound: sent.into(), inbound: model.top(), seen: Vec::new(), window };
            for number in model.seen.iter().filter(|number| **number + u64::from(window) > model.top()) {
                state.mark(model.top() - number);
            }
            state
        });
        let merged = one.merge(&two);
        prop_assert!(merged.is_ahead_of(&one) && merged.is_ahead_of(&two));
        prop_assert_eq!(&merged, &two.merge(&one));
        prop_assert!(one.is_ahead_of(&one) && one.merge(&one) == one);
        if one.is_ahead_of(&two) {
            prop_assert_eq!(merged, one);
        }
    }
}

#[test]
fn a_stale_state_is_not_ahead() {
    let now = ReplayState {
        outbound: 100,
        inbound: 50,
        seen: vec![0b1011],
        window: 64,
    };
    let stale = |change: fn(&mut ReplayState)| {
        let mut state = now.clone();
        change(&mut state);
        !state.is_ahead_of(&now)
    };
    assert!(stale(|state| state.outbound -= 1));
    assert!(stale(|state| state.inbound -= 1));
    assert!(stale(|state| state.seen = vec![0b1001]));
    // A wider window would open what is below the other.
    assert!(!stale(|state| state.window = 1024));
    let far = ReplayState {
        inbound: 5000,
        seen: vec![u64::MAX],
        ..now.clone()
    };
    let wide = ReplayState {
        window: 1024,
        ..far.clone()
    };
    assert!(far.is_ahead_of(&now) && !wide.is_ahead_of(&far));
}

#[test]
fn what_does_not_fit_is_refused() {
    let state = ReplayState {
        outbound: 1 << 32,
        ..ReplayState::default()
    };
    let narrow = ReplayForm::for_window(64, false);
    assert_eq!(
        state.attribute(narrow),
        Err(ReplayError::Number { number: 1 << 32 })
    );
    assert!(state.attribute(ReplayForm::for_window(64, true)).is_ok());
    let state = ReplayState::default();
    assert!(state.attribute(ReplayForm::for_window(4096, true)).is_ok());
    let (window, allowed) = (4097, 4096);
    assert_eq!(
        state.attribute(ReplayForm::for_window(window, true)),
        Err(ReplayError::Window { window, allowed })
    );
    let (window, allowed) = (33, 32);
    assert_eq!(
        state.attribute(ReplayForm::Legacy { window }),
        Err(ReplayError::Window { window, allowed })
    );
    let esn = ReplayForm::Esn {
        window: 65,
        words: 2,
        extended: true,
    };
    let (window, allowed) = (65, 64);
    assert_eq!(
        state.attribute(esn),
        Err(ReplayError::Window { window, allowed })
    );
}

#[test]
fn forms_follow_the_window() {
    assert_eq!(
        ReplayForm::for_window(32, false),
        ReplayForm::Legacy { window: 32 }
    );
    let (words, extended) = (2, false);
    assert_eq!(
        ReplayForm::for_window(33, extended),
        ReplayForm::Esn {
            window: 33,
            words,
            extended
        }
    );
    let (window, words, extended) = (32, 1, true);
    assert_eq!(
        ReplayForm::for_window(window, extended),
        ReplayForm::Esn {
            window,
            words,
            extended
        }
    );
}

/// A damaged attribute is no reason to panic.
#[test]
fn windows_beyond_their_bitmap_are_cut() {
    for (replay_window, words) in [(u32::MAX, 1), (100, 0), (0, 4)] {
        let bmp = vec![u32::MAX; words];
        let esn = ReplayEsn {
            replay_window,
            bmp,
            ..ReplayEsn::default()
        };
        let form = ReplayForm::for_window(64, true);
        let state =
            ReplayState::from_attributes(&attributes(Attribute::ReplayEsn(esn)), form).unwrap();
        assert!(state.window as usize <= 32 * words);
    }
}

/// A fuzzer found the sum that overflowed.
#[test]
fn the_last_number_is_a_number() {
    let last = ReplayState {
        outbound: u64::MAX,
        inbound: u64::MAX,
        seen: vec![1],
        window: 0,
    };
    assert!(last.is_ahead_of(&last) && last.is_ahead_of(&ReplayState::default()));
    assert_eq!(last.merge(&last).inbound, u64::MAX);
    let form = ReplayForm::for_window(64, true);
    let again = attributes(last.attribute(form).unwrap());
    let again = ReplayState::from_attributes(&again, form).unwrap();
    assert!(again.is_ahead_of(&last) && again.is_seen(u64::MAX));
}
