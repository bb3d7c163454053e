//! RFC 6311: IKEv2 message-id and IPsec replay-counter synchronization after a failover.

mod support;

pub use support::SyncSupport;
