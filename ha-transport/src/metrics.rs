//! The metrics of this crate, by the `metrics` facade.
//!
//! Install any recorder of the facade to see them; [`describe`] tells it their meaning and units.

use metrics::{Unit, describe_counter};

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
}
