//! What happens in a node, for people (`tracing`) and for monitoring (`metrics`).

use ha_core::id::{GroupId, LinkId, UnitId};
use ha_core::node::Event;
use metrics::{counter, gauge, histogram};

use crate::metrics as names;

/// Writes one log line and counts.
pub(crate) fn report(unit: UnitId, event: &Event, peer: &dyn Fn(LinkId) -> String) {
    let unit = unit.value();
    match event {
        Event::PeerUp {
            link,
            incarnation,
            software,
            unit: other,
        } => {
            gauge!(names::PEER_UP).set(1.0);
            let peer = peer(*link);
            tracing::info!(unit, %other, peer, incarnation, software, "peer is there");
        }
        Event::PeerLost { unit: other } => {
            gauge!(names::PEER_UP).set(0.0);
            counter!(names::PEER_LOST).increment(1);
            tracing::warn!(unit, %other, "peer lost: nothing heard over any link");
        }
        Event::PeerLeft { unit: other, text } => {
            gauge!(names::PEER_UP).set(0.0);
            tracing::warn!(unit, %other, text, "peer left");
        }
        Event::Paused { duration } => {
            counter!(names::PAUSES).increment(1);
            tracing::warn!(
                unit,
                ?duration,
                "this process did not run for a while; is the machine overloaded?"
            );
        }
        event => report_group(unit, event),
    }
}

fn report_group(unit: u32, event: &Event) {
    match event {
        Event::State {
            group,
            from,
            to,
            term,
            why,
        } => {
            gauge!(names::STATE, "group" => label(*group)).set(f64::from(to.number()));
            tracing::info!(unit, %group, %from, %to, %term, why, "redundancy state changed");
        }
        Event::Switchover {
            group,
            reason,
            term,
        } => {
            counter!(names::SWITCHOVERS, "group" => label(*group)).increment(1);
            tracing::warn!(unit, %group, %reason, %term, "switchover");
        }
        Event::SwitchoverFailed { group, why } => {
            tracing::error!(unit, %group, why, "manual switchover failed; this unit stays active");
        }
        Event::IncompleteTakeover { group } => {
            counter!(names::INCOMPLETE_TAKEOVERS, "group" => label(*group)).increment(1);
            tracing::error!(
                unit, %group,
                "took over without having been STANDBY HOT: entries may be missing"
            );
        }
        Event::DualActive { group, kept } => {
            counter!(names::DUAL_ACTIVE, "group" => label(*group)).increment(1);
            tracing::error!(unit, %group, kept, "both units were active (a partition healed?)");
        }
        Event::Fenced {
            group,
            what,
            got,
            highest,
        } => {
            counter!(names::FENCED, "group" => label(*group)).increment(1);
            tracing::warn!(unit, %group, what, %got, %highest, "refused: of an earlier term");
        }
        event => report_checkpoint(unit, event),
    }
}

fn report_checkpoint(unit: u32, event: &Event) {
    match event {
        Event::Incompatible {
            group,
            disagreements,
        } => {
            for disagreement in disagreements {
                tracing::error!(unit, %group, %disagreement, "units do not fit together");
            }
        }
        Event::ConfigDiffers { group, differences } => {
            for difference in differences {
                tracing::error!(unit, %group, %difference, "configurations differ");
            }
        }
        Event::SyncBegan { group, full, bulk } => {
            counter!(names::SYNCS, "group" => label(*group)).increment(1);
            tracing::info!(unit, %group, full, bulk, "stream of state began");
        }
        Event::SyncCompleted {
            group,
            entries,
            took,
        } => {
            histogram!(names::SYNC_SECONDS, "group" => label(*group)).record(took.as_secs_f64());
            tracing::info!(unit, %group, entries, ?took, "replica is whole, digests are equal");
        }
        Event::SyncFailed {
            group,
            error,
            retry_in,
        } => {
            counter!(names::SYNC_FAILURES, "group" => label(*group)).increment(1);
            tracing::error!(unit, %group, %error, ?retry_in, "stream of state failed");
        }
        Event::DigestMismatch { group, clients } => {
            counter!(names::DIGEST_MISMATCHES, "group" => label(*group)).increment(1);
            tracing::error!(unit, %group, ?clients, "digests differ; sent again in full");
        }
        Event::AuditMismatch {
            group,
            client,
            entries,
        } => {
            counter!(names::DIGEST_MISMATCHES, "group" => label(*group)).increment(1);
            tracing::error!(unit, %group, %client, entries, "entries differ; sent again in full");
        }
        Event::ClientMissed {
            group,
            client,
            name,
            state,
        } => {
            counter!(names::CLIENT_MISSES, "group" => label(*group)).increment(1);
            tracing::error!(unit, %group, %client, name, %state, "client did not answer in time");
        }
        Event::ClientFailed {
            group,
            client,
            name,
            state,
            cause,
        } => {
            counter!(names::CLIENT_MISSES, "group" => label(*group)).increment(1);
            tracing::error!(unit, %group, %client, name, %state, cause, "client failed");
        }
        Event::Staleness { group, age } => {
            histogram!(names::STALENESS, "group" => label(*group)).record(age.as_secs_f64());
        }
        event => tracing::info!(unit, ?event, "event"),
    }
}

fn label(group: GroupId) -> String {
    group.value().to_string()
}
