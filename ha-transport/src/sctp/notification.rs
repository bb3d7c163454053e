//! What the kernel reports about an association and its paths (RFC 6458, section 6.1).

use std::net::IpAddr;

use super::layout::{self, Reader};
use super::paths::PathState;

/// A notification that matters to a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Notification {
    /// An address of the peer is in another state.
    Path { address: IpAddr, state: PathState },
    /// The association was lost: aborted by the peer, or no path answers any more. `error` is the
    /// error cause of RFC 9260, section 3.3.10.
    Lost { error: u16 },
    /// The association began anew: the peer restarted, and what it held is gone.
    Restart,
    /// The peer sends nothing more.
    Shutdown,
    /// A message that had begun will not be completed.
    Incomplete,
    /// Of no interest here.
    Other,
}

impl Notification {
    /// Reads a notification. What is malformed or unknown is [`Other`](Self::Other): it comes from
    /// the kernel, and a newer one may say more.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or(Self::Other)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let kind = from.u16()?;
        let (_flags, _length) = (from.u16()?, from.u32()?);
        Some(match kind {
            layout::ASSOC_CHANGE => association(from.u16()?, from.u16()?),
            layout::PEER_ADDR_CHANGE => {
                let address = from.address()?;
                path(address, from.u32()?)
            }
            layout::SHUTDOWN_EVENT => Self::Shutdown,
            layout::PARTIAL_DELIVERY_EVENT => Self::Incomplete,
            _ => Self::Other,
        })
    }
}

/// `enum sctp_sac_state`.
fn association(state: u16, error: u16) -> Notification {
    match state {
        // In network order, as it came in the ABORT.
        1 | 4 => Notification::Lost {
            error: u16::from_be(error),
        },
        2 => Notification::Restart,
        _ => Notification::Other,
    }
}

/// `enum sctp_spc_state`.
fn path(address: IpAddr, state: u32) -> Notification {
    let state = match state {
        0 | 5 => PathState::Available,
        1 => PathState::Unreachable,
        6 => PathState::PotentiallyFailed,
        _ => return Notification::Other,
    };
    Notification::Path { address, state }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(kind: u16, length: usize) -> Vec<u8> {
        let mut bytes = kind.to_ne_bytes().to_vec();
        bytes.extend(0_u16.to_ne_bytes());
        bytes.extend((length as u32).to_ne_bytes());
        bytes
    }

    fn path_change(octets: [u8; 4], state: u32) -> Vec<u8> {
        let mut bytes = header(layout::PEER_ADDR_CHANGE, 148);
        let address = (octets, 3249).into();
        bytes.extend(layout::addresses(&[address]));
        bytes.resize(8 + layout::ADDRESS_BYTES, 0);
        bytes.extend(state.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes
    }

    #[test]
    fn states_of_a_path() {
        let states = [
            (0, Some(PathState::Available)),
            (1, Some(PathState::Unreachable)),
            (2, None),
            (5, Some(PathState::Available)),
            (6, Some(PathState::PotentiallyFailed)),
            (7, None),
        ];
        for (number, state) in states {
            let expected = state.map_or(Notification::Other, |state| Notification::Path {
                address: IpAddr::from([10, 0, 0, 2]),
                state,
            });
            let seen = Notification::parse(&path_change([10, 0, 0, 2], number));
            assert_eq!(seen, expected, "{number}");
        }
    }

    #[test]
    fn states_of_an_association() {
        let change = |state: u16| {
            let mut bytes = header(layout::ASSOC_CHANGE, 20);
            bytes.extend(state.to_ne_bytes());
            bytes.extend(9_u16.to_be_bytes());
            bytes.extend([0; 8]);
            Notification::parse(&bytes)
        };
        assert_eq!(change(0), Notification::Other);
        assert_eq!(change(1), Notification::Lost { error: 9 });
        assert_eq!(change(2), Notification::Restart);
        assert_eq!(change(3), Notification::Other);
        assert_eq!(change(4), Notification::Lost { error: 9 });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Notification::parse(&bytes);
            let _ = layout::received_stream(&bytes);
        }

        #[test]
        fn a_path_change_is_read_or_too_short(
            octets in any::<[u8; 4]>(), state in 0_u32..9, cut in 0_usize..149,
        ) {
            let bytes = path_change(octets, state);
            let cut = cut.min(bytes.len());
            match Notification::parse(&bytes[..cut]) {
                Notification::Path { address, .. } => {
                    prop_assert!(cut >= 140);
                    prop_assert_eq!(address, IpAddr::from(octets));
                }
                other => {
                    prop_assert_eq!(other, Notification::Other);
                    prop_assert!(cut < 140 || !matches!(state, 0 | 1 | 5 | 6));
                }
            }
        }
    }
}
