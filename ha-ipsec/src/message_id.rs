//! IKEv2 message-id windows.

/// Message ids of one IKE SA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MessageIds {
    /// The next request to send.
    pub next_send: u32,
    /// The next request to expect.
    pub next_receive: u32,
}
