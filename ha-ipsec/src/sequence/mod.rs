//! Outbound sequence numbers: reserve, do not report.

/// How long the sequence numbers of an SA are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SequenceSpace {
    /// 32 bits, which never wrap (RFC 4303 §3.3.3).
    Bits32,
    /// Extended sequence numbers: 64 bits, of which the low half is sent (RFC 4303 §2.2.1).
    Esn,
}
