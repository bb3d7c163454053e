//! Where a kernel's SA may go on, from what was replicated.

use crate::linux::replay::ReplayState;
use crate::record::{Direction, IpsecSa};
use crate::replay::WindowImage;
use crate::sad::Sad;

/// From what the active unit sent last: its reservation and J, or all up to its ceiling.
pub(super) fn standby_target(sad: &Sad, record: &IpsecSa) -> Option<(ReplayState, u64, u64)> {
    let counters = sad.counters(&record.id)?;
    let bytes = counters.kib() * 1024;
    Some(match record.direction {
        Direction::Outbound => {
            let last = counters.resume_after(record.esn, record.budget)?;
            (outbound(last), bytes, last)
        }
        Direction::Inbound => {
            let image = counters.image()?;
            (inbound(image, record), bytes, image.top())
        }
    })
}

/// From this unit's own counters. Those that nothing has used since the takeover are what arrived, and
/// stay so: an object is not made of each.
pub(super) fn active_target(sad: &Sad, record: &IpsecSa) -> Option<(ReplayState, u64, u64)> {
    if sad.is_dormant(record) {
        standby_target(sad, record)
    } else {
        live_target(sad, record)
    }
}

fn live_target(sad: &Sad, record: &IpsecSa) -> Option<(ReplayState, u64, u64)> {
    let sad = sad.pin();
    match record.direction {
        Direction::Outbound => {
            let sa = sad.outbound(&record.id).ok()?;
            let last = sa.resume_after();
            Some((outbound(last), sa.bytes(), last))
        }
        Direction::Inbound => {
            let sa = sad.inbound(&record.id).ok()?;
            let image = sa.window_image();
            Some((inbound(&image, record), sa.bytes(), sa.top()))
        }
    }
}

fn outbound(last: u64) -> ReplayState {
    ReplayState {
        outbound: last,
        ..ReplayState::default()
    }
}

/// All up to the top counts as received, but for what the image lists as not.
fn inbound(image: &WindowImage, record: &IpsecSa) -> ReplayState {
    let (top, window) = (image.top(), record.window.packets());
    let mut state = ReplayState {
        inbound: top,
        // Without a window, all that lies below is seen.
        ..ReplayState::default()
    };
    if image.unseen().next().is_some() {
        state.window = window;
        let mut seen = vec![u64::MAX; window.div_ceil(64) as usize];
        for number in image.unseen().flatten() {
            let back = top.saturating_sub(number);
            if let Some(word) = seen.get_mut((back / 64) as usize) {
                *word &= !(1 << (back % 64));
            }
        }
        state.seen = seen;
    }
    state
}

/// Where a takeover puts an SA that nothing used since.
pub(super) fn standby_position(sad: &Sad, record: &IpsecSa) -> Option<u64> {
    let (replay, ..) = standby_target(sad, record)?;
    Some(match record.direction {
        Direction::Outbound => replay.outbound,
        Direction::Inbound => replay.inbound,
    })
}
