//! Message-id and replay-counter synchronisation (RFC 6311), from the cluster side.
