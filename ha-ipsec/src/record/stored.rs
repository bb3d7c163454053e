//! Records as the table holds them.

use core::fmt;
use std::sync::Arc;

use ha_core::checkpoint::{DecodeError, Record};
use zeroize::{Zeroize as _, Zeroizing};

use super::IpsecSa;
use super::codec::{Outline, VERSIONS};

/// An IPsec SA as bytes, which take a third of what the decoded record takes: most SAs of a large
/// gateway are idle, and on the standby all are. It was checked when it was made; it is decoded when a
/// packet or a person asks for it.
///
/// The bytes are canonical: equal ones are equal records. They hold keys, so they are overwritten
/// when they are dropped, and not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoredSa(Box<[u8]>);

impl StoredSa {
    /// A record as bytes.
    pub(crate) fn new(sa: &IpsecSa) -> Self {
        // In two steps: shrinking a buffer could leave a copy of the keys behind.
        let mut bytes = Zeroizing::new(Vec::new());
        sa.encode(STORED, &mut bytes);
        Self(bytes.as_slice().into())
    }

    /// The record. Never `None`: the bytes were checked when they came.
    pub(crate) fn open(&self) -> Option<Arc<IpsecSa>> {
        IpsecSa::decode(STORED, &self.0).ok().map(Arc::new)
    }

    /// What the control path looks at, without the rest. Never `None`, as for [`open`](Self::open).
    pub(crate) fn outline(&self) -> Option<Outline> {
        Outline::read(&self.0).ok()
    }
}

impl Record for StoredSa {
    fn encode(&self, version: u16, out: &mut Vec<u8>) {
        if version == STORED {
            out.extend_from_slice(&self.0);
        } else if let Some(sa) = self.open() {
            sa.encode(version, out);
        }
    }

    fn decode(version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let sa = IpsecSa::decode(version, bytes)?;
        if version == STORED {
            // Bytes that can be decoded are what encoding would yield.
            Ok(Self(bytes.into()))
        } else {
            Ok(Self::new(&sa))
        }
    }

    fn encode_onto(&self, version: u16, kept: &[u8], out: &mut Vec<u8>) {
        match self.open() {
            Some(sa) => sa.encode_onto(version, kept, out),
            None => self.encode(version, out),
        }
    }

    fn encoded_len_bound(&self) -> Option<usize> {
        // The versions differ in nothing yet.
        Some(self.0.len())
    }
}

impl Drop for StoredSa {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The length alone.
impl fmt::Debug for StoredSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredSa({} bytes)", self.0.len())
    }
}

/// The version of the format in memory.
const STORED: u16 = *VERSIONS.end();

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::id::{IkeId, Protocol, SaId};
    use crate::lifetime::{Lifetime, Limits};
    use crate::record::{Direction, Mode, Name, SaKeys, Selector, Transform};

    fn sample(ike: Option<IkeId>) -> IpsecSa {
        let (gateway, peer) = ([192, 0, 2, 1].into(), [198, 51, 100, 7].into());
        let id = SaId {
            spi: 0xd429_04f0,
            destination: peer,
            protocol: Protocol::Esp,
        };
        let mut sa = IpsecSa::new(id, Direction::Outbound, gateway, Mode::Tunnel);
        sa.instance = 77;
        sa.ike = ike;
        sa.local = vec![Selector::subnet([10, 0, 0, 0].into(), 8)];
        sa.remote = vec![Selector::host([10, 9, 0, 1].into())];
        sa.encryption = Some(Transform::AES_GCM_128);
        sa.keys = SaKeys::new(&[0xa5; 20], &[]);
        sa.lifetime = Lifetime::rekey_before(Limits::CISCO_IPSEC, 10);
        sa.created_unix_s = 1_700_000_000;
        sa.crypto_map = Name::new("map");
        sa
    }

    fn samples() -> impl Iterator<Item = IpsecSa> {
        let halves = [(1, 0), (1, u64::MAX)].map(|(initiator, responder)| IkeId {
            initiator,
            responder,
        });
        let ikes = halves.map(Some).into_iter().chain([None]);
        let idle = [None, Some(0), Some(300)];
        ikes.flat_map(move |ike| {
            idle.map(|idle| IpsecSa {
                idle_timeout_s: idle,
                ..sample(ike)
            })
        })
    }

    #[test]
    fn a_record_comes_back_from_its_bytes() {
        for sa in samples() {
            let stored = StoredSa::new(&sa);
            assert_eq!(stored.open().as_deref(), Some(&sa));
            let mut bytes = Vec::new();
            stored.encode(STORED, &mut bytes);
            assert_eq!(StoredSa::decode(STORED, &bytes).as_ref(), Ok(&stored));
            let mut direct = Vec::new();
            sa.encode(STORED, &mut direct);
            assert_eq!(bytes, direct);
        }
    }

    #[test]
    fn an_outline_is_of_the_record() {
        for sa in samples() {
            assert_eq!(StoredSa::new(&sa).outline(), Some(Outline::from(&sa)));
        }
    }

    #[test]
    fn what_is_no_record_is_not_stored() {
        let mut bytes = Vec::new();
        sample(None).encode(STORED, &mut bytes);
        for len in 0..bytes.len() {
            let cut = IpsecSa::decode(STORED, &bytes[..len]).is_ok();
            assert_eq!(
                StoredSa::decode(STORED, &bytes[..len]).is_ok(),
                cut,
                "{len}"
            );
        }
        assert!(StoredSa::decode(STORED + 1, &bytes).is_err());
    }

    #[test]
    fn debug_shows_the_length_alone() {
        let stored = StoredSa::new(&sample(None));
        let text = format!("{stored:?}");
        assert_eq!(text, format!("StoredSa({} bytes)", stored.0.len()));
    }
}
