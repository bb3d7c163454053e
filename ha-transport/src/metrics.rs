//! The metrics of this crate, by the `metrics` facade.
//!
//! Install any recorder of the facade to see them; [`describe`] tells it their meaning and units.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Links established. Label: `transport`.
pub const LINKS_ESTABLISHED: &str = "ha_links_established_total";
/// Links that ended. Labels: `transport` and `cause`
/// (see [`LinkError::cause`](crate::LinkError::cause)).
pub const LINKS_ENDED: &str = "ha_links_ended_total";
/// Attempts that failed, on either side. Labels: `transport`, `side` and `cause`.
pub const HANDSHAKES_FAILED: &str = "ha_handshakes_failed_total";
/// Messages sent. Labels: `transport` and `lane`.
pub const MESSAGES_SENT: &str = "ha_link_messages_sent_total";
/// Bytes of messages sent, without framing and encryption. Labels: `transport` and `lane`.
pub const BYTES_SENT: &str = "ha_link_bytes_sent_total";
/// Messages received. Labels: `transport` and `lane`.
pub const MESSAGES_RECEIVED: &str = "ha_link_messages_received_total";
/// Bytes of messages received, without framing and encryption. Labels: `transport` and `lane`.
pub const BYTES_RECEIVED: &str = "ha_link_bytes_received_total";
/// Times that a full outbound queue refused a message. Labels: `transport` and `lane`.
pub const QUEUE_FULL: &str = "ha_link_queue_full_total";
/// Times that a full inbound queue held back the peer. Labels: `transport` and `lane`.
pub const RECEIVER_HELD_BACK: &str = "ha_link_receiver_held_back_total";
/// Times that an SCTP path changed its state. Label: `state`, the new one.
pub const SCTP_PATH_CHANGES: &str = "ha_sctp_path_changes_total";
/// 1 while an SCTP path is available, else 0. Label: `address`.
pub const SCTP_PATH_UP: &str = "ha_sctp_path_up";

/// 1 while the peer is heard, else 0.
pub const PEER_UP: &str = "ha_peer_up";
/// Times that the peer was declared lost.
pub const PEER_LOST: &str = "ha_peer_lost_total";
/// Times that this process did not run for a keepalive interval or more.
pub const PAUSES: &str = "ha_pauses_total";
/// State of a group by its IOS number (13 is ACTIVE). Label: `group`.
pub const STATE: &str = "ha_state";
/// Times that this unit took up or gave up the active role. Label: `group`.
pub const SWITCHOVERS: &str = "ha_switchovers_total";
/// Takeovers without having been STANDBY HOT. Label: `group`.
pub const INCOMPLETE_TAKEOVERS: &str = "ha_incomplete_takeovers_total";
/// Times that both units were active. Label: `group`.
pub const DUAL_ACTIVE: &str = "ha_dual_active_total";
/// Things of an earlier term that were refused. Label: `group`.
pub const FENCED: &str = "ha_fenced_total";
/// Streams of state that began. Label: `group`.
pub const SYNCS: &str = "ha_syncs_total";
/// Streams of state that failed and began anew. Label: `group`.
pub const SYNC_FAILURES: &str = "ha_sync_failures_total";
/// Seconds from asking for state to holding all of it. Label: `group`.
pub const SYNC_SECONDS: &str = "ha_sync_seconds";
/// Digests or audits that found a difference. Label: `group`.
pub const DIGEST_MISMATCHES: &str = "ha_digest_mismatches_total";
/// Clients that failed or did not answer a notification in time. Label: `group`.
pub const CLIENT_MISSES: &str = "ha_client_misses_total";
/// Seconds from a change to its acknowledgement by the standby, the oldest of each batch.
/// Label: `group`.
pub const STALENESS: &str = "ha_staleness_seconds";

/// Describes all metrics of this crate to the installed recorder. Call it after installing one.
pub fn describe() {
    describe_counter!(LINKS_ESTABLISHED, Unit::Count, "links established");
    describe_counter!(LINKS_ENDED, Unit::Count, "links that ended, by cause");
    describe_counter!(
        HANDSHAKES_FAILED,
        Unit::Count,
        "attempts to make a link that failed"
    );
    describe_counter!(MESSAGES_SENT, Unit::Count, "messages sent, by lane");
    describe_counter!(BYTES_SENT, Unit::Bytes, "bytes of messages sent, by lane");
    describe_counter!(MESSAGES_RECEIVED, Unit::Count, "messages received, by lane");
    describe_counter!(
        BYTES_RECEIVED,
        Unit::Bytes,
        "bytes of messages received, by lane"
    );
    describe_counter!(
        QUEUE_FULL,
        Unit::Count,
        "messages refused by a full outbound queue"
    );
    describe_counter!(
        RECEIVER_HELD_BACK,
        Unit::Count,
        "times a full inbound queue held back the peer"
    );
    describe_counter!(
        SCTP_PATH_CHANGES,
        Unit::Count,
        "times an SCTP path changed its state"
    );
    describe_gauge!(
        SCTP_PATH_UP,
        Unit::Count,
        "1 while an SCTP path is available"
    );
    describe_node();
}

fn describe_node() {
    let counters = [
        (PEER_LOST, "times the peer was declared lost"),
        (PAUSES, "times this process did not run for a while"),
        (
            SWITCHOVERS,
            "times this unit took up or gave up the active role",
        ),
        (
            INCOMPLETE_TAKEOVERS,
            "takeovers without having been STANDBY HOT",
        ),
        (DUAL_ACTIVE, "times both units were active"),
        (FENCED, "things of an earlier term that were refused"),
        (SYNCS, "streams of state that began"),
        (SYNC_FAILURES, "streams of state that failed"),
        (
            DIGEST_MISMATCHES,
            "digests or audits that found a difference",
        ),
        (
            CLIENT_MISSES,
            "clients that failed or missed a notification",
        ),
    ];
    for (name, text) in counters {
        describe_counter!(name, Unit::Count, text);
    }
    describe_gauge!(PEER_UP, Unit::Count, "1 while the peer is heard");
    describe_gauge!(STATE, Unit::Count, "state by its IOS number, 13 is ACTIVE");
    describe_histogram!(SYNC_SECONDS, Unit::Seconds, "time of a sync");
    describe_histogram!(
        STALENESS,
        Unit::Seconds,
        "age of what the standby acknowledges"
    );
}
