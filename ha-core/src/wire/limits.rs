//! Limits on what comes from the wire. Every queue and message has one.

/// Longest encoded key of an entry, in bytes.
pub const MAX_KEY_BYTES: usize = 4 * 1024;
/// Longest encoded value of an entry, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// Longest message on a lane, in bytes: a part of a batch or a chunk filled up to its budget, and
/// one more entry of the largest size.
pub const MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// Most entries in one part of a batch or one chunk.
pub const MAX_ENTRIES: usize = 64 * 1024;
/// Most bytes that the standby stages for the parts of one batch.
pub const MAX_STAGED_BYTES: usize = 256 * 1024 * 1024;
/// Most entries for which the standby makes room in advance; a table may grow beyond.
pub const MAX_RESERVED: u32 = 4 * 1024 * 1024;
/// Most bytes that a standby grants for batches, or for bulk chunks, in flight.
pub const MAX_WINDOW_BYTES: usize = MAX_STAGED_BYTES / 4;
/// Most groups that a unit hosts.
pub const MAX_GROUPS: usize = 64;
/// Most clients of a group.
pub const MAX_CLIENTS: usize = 256;
/// Longest text from the peer (software, reasons), in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;
/// Most configuration items of a client.
pub const MAX_CONFIG_ITEMS: usize = 256;
