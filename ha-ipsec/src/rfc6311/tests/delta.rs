use proptest::prelude::*;

use super::*;

fn child(esn: bool, top: u64, floor: u64) -> InboundCounters {
    InboundCounters { esn, top, floor }
}

#[test]
fn one_amount_serves_the_child_that_needs_most() {
    let children = [
        child(false, 10, 50),
        child(false, 900, 1000),
        child(false, 5, 5),
    ];
    assert_eq!(
        replay_delta(children, 0),
        Ok(Some(ReplayDelta::Bits32(100)))
    );
    assert_eq!(
        replay_delta(children, 7),
        Ok(Some(ReplayDelta::Bits32(107)))
    );
    let esn = children.map(|it| InboundCounters { esn: true, ..it });
    assert_eq!(replay_delta(esn, 0), Ok(Some(ReplayDelta::Esn(100))));
}

#[test]
fn nothing_is_asked_where_nothing_is_closed() {
    assert_eq!(replay_delta([], 1000), Ok(None));
    assert_eq!(replay_delta([child(true, 9, 9)], 1000), Ok(None));
}

#[test]
fn mixed_children_cannot_be_synchronized() {
    let mixed = [child(true, 1, 2), child(false, 1, 2)];
    assert_eq!(replay_delta(mixed, 0), Err(DeltaError::Mixed));
    let level = [child(true, 1, 1), child(false, 1, 1)];
    assert_eq!(replay_delta(level, 0), Err(DeltaError::Mixed));
    assert_eq!(ChildNumbers::of([true, false, true]), ChildNumbers::Mixed);
    assert_eq!(ChildNumbers::of([false, true, false]), ChildNumbers::Mixed);
    assert_eq!(ChildNumbers::of([true, true]), ChildNumbers::Esn);
    assert_eq!(ChildNumbers::of([false]), ChildNumbers::Bits32);
}

#[test]
fn jumps_that_are_not_safe_are_refused() {
    let far = 1 << 30;
    assert_eq!(
        replay_delta([child(true, 0, far)], 0),
        Ok(Some(ReplayDelta::Esn(far)))
    );
    assert_eq!(
        replay_delta([child(true, 0, far)], 1),
        Err(DeltaError::TooFar { delta: far + 1 })
    );
    let top = u64::from(u32::MAX) - (1 << 28);
    assert!(replay_delta([child(false, top - 20, top - 10)], 0).is_ok());
    assert_eq!(
        replay_delta([child(false, top - 5, top - 4)], 10),
        Err(DeltaError::NumberSpace {
            top: top - 4,
            delta: 11
        })
    );
    assert!(matches!(
        replay_delta([child(true, 0, u64::MAX)], u32::MAX),
        Err(DeltaError::TooFar { .. })
    ));
    assert!(ReplayDelta::Bits32(1 << 30).wants_rekey());
    assert!(!ReplayDelta::Bits32((1 << 30) - 1).wants_rekey());
    assert!(!ReplayDelta::Esn(1 << 30).wants_rekey());
}

proptest! {
    /// Wherever the peer's counters really stand at or above what was received, its next packets
    /// pass all floors.
    #[test]
    fn the_next_number_of_each_child_is_above_its_floor(
        children in prop::collection::vec((0u64..1 << 20, 0u64..1 << 20, 0u64..1 << 20), 1..5),
        esn in any::<bool>(),
        margin in 0u32..1000,
    ) {
        let asked = children.iter().map(|(top, above, _)| child(esn, *top, top + above));
        let delta = replay_delta(asked, margin).unwrap().map_or(0, ReplayDelta::value);
        for (top, above, ahead) in children {
            prop_assert!(top + ahead + delta + 1 > top + above);
        }
    }
}
