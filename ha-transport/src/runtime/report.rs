//! What happens in a node, for people (`tracing`) and for monitoring (`metrics`).

use ha_core::id::{GroupId, LinkId, UnitId};
use ha_core::node::Event;
use metrics::{counter, gauge, histogram};
use tracing::Span;

use crate::metrics as names;

/// The span of all that a node does: `unit`.
pub(crate) fn unit_span(unit: UnitId) -> Span {
    tracing::info_span!("ha", unit = unit.value())
}

/// Writes one log line, within the spans of its group and client, and counts.
pub(crate) fn report(event: &Event, peer: &dyn Fn(LinkId) -> String) {
    if let Event::Staleness { group, age } = event {
        // With each batch: worth no line.
        return histogram!(names::STALENESS, "group" => label(*group)).record(age.as_secs_f64());
    }
    let _group = event
        .group()
        .map(|group| tracing::info_span!("group", id = group.value()).entered());
    let _client = event
        .client()
        .map(|id| tracing::info_span!("client", id = id.value()).entered());
    match event {
        Event::PeerUp {
            link,
            incarnation,
            software,
            unit: other,
        } => {
            gauge!(names::PEER_UP).set(1.0);
            let peer = peer(*link);
            tracing::info!(%other, peer, incarnation, software, "peer is there");
        }
        Event::PeerLost { unit: other } => {
            gauge!(names::PEER_UP).set(0.0);
            counter!(names::PEER_LOST).increment(1);
            tracing::warn!(%other, "peer lost: nothing heard over any link");
        }
        Event::PeerLeft { unit: other, text } => {
            gauge!(names::PEER_UP).set(0.0);
            tracing::warn!(%other, text, "peer left");
        }
        Event::Paused { duration } => {
            counter!(names::PAUSES).increment(1);
            tracing::warn!(
                ?duration,
                "this process did not run for a while; is the machine overloaded?"
            );
        }
        event => report_group(event),
    }
}

fn report_group(event: &Event) {
    match event {
        Event::State {
            group,
            from,
            to,
            term,
            why,
        } => {
            gauge!(names::STATE, "group" => label(*group)).set(f64::from(to.number()));
            tracing::info!(%from, %to, %term, why, "redundancy state changed");
        }
        Event::Switchover {
            group,
            reason,
            term,
        } => {
            counter!(names::SWITCHOVERS, "group" => label(*group)).increment(1);
            tracing::warn!(%reason, %term, "switchover");
        }
        Event::SwitchoverFailed { why, .. } => {
            tracing::error!(why, "manual switchover failed; this unit stays active");
        }
        Event::IncompleteTakeover { group } => {
            counter!(names::INCOMPLETE_TAKEOVERS, "group" => label(*group)).increment(1);
            tracing::error!("took over without having been STANDBY HOT: entries may be missing");
        }
        Event::DualActive { group, kept } => {
            counter!(names::DUAL_ACTIVE, "group" => label(*group)).increment(1);
            tracing::error!(kept, "both units were active (a partition healed?)");
        }
        Event::Fenced {
            group,
            what,
            got,
            highest,
        } => {
            counter!(names::FENCED, "group" => label(*group)).increment(1);
            tracing::warn!(what, %got, %highest, "refused: of an earlier term");
        }
        event => report_checkpoint(event),
    }
}

fn report_checkpoint(event: &Event) {
    match event {
        Event::Incompatible { disagreements, .. } => {
            for disagreement in disagreements {
                tracing::error!(%disagreement, "units do not fit together");
            }
        }
        Event::ConfigDiffers { differences, .. } => {
            for difference in differences {
                tracing::error!(%difference, "configurations differ");
            }
        }
        Event::SyncBegan { group, full, bulk } => {
            counter!(names::SYNCS, "group" => label(*group)).increment(1);
            tracing::info!(full, bulk, "stream of state began");
        }
        Event::SyncCompleted {
            group,
            entries,
            took,
        } => {
            histogram!(names::SYNC_SECONDS, "group" => label(*group)).record(took.as_secs_f64());
            tracing::info!(entries, ?took, "replica is whole, digests are equal");
        }
        Event::SyncFailed {
            group,
            error,
            retry_in,
        } => {
            counter!(names::SYNC_FAILURES, "group" => label(*group)).increment(1);
            tracing::error!(%error, ?retry_in, "stream of state failed");
        }
        Event::DigestMismatch { group, clients } => {
            counter!(names::DIGEST_MISMATCHES, "group" => label(*group)).increment(1);
            tracing::error!(?clients, "digests differ; sent again in full");
        }
        Event::AuditMismatch { group, entries, .. } => {
            counter!(names::DIGEST_MISMATCHES, "group" => label(*group)).increment(1);
            tracing::error!(entries, "entries differ; sent again in full");
        }
        Event::ClientMissed {
            group, name, state, ..
        } => {
            counter!(names::CLIENT_MISSES, "group" => label(*group)).increment(1);
            tracing::error!(name, %state, "client did not answer in time");
        }
        Event::ClientFailed {
            group,
            name,
            state,
            cause,
            ..
        } => {
            counter!(names::CLIENT_MISSES, "group" => label(*group)).increment(1);
            tracing::error!(name, %state, cause, "client failed");
        }
        event => tracing::info!(?event, "event"),
    }
}

fn label(group: GroupId) -> String {
    group.value().to_string()
}
