//! ESP (RFC 4303) in tunnel mode with AES-128-GCM (RFC 4106), in place and without allocation.
//!
//! ```text
//!  0        4          8          16                                        16
//!  | SPI    | sequence | IV       | inner packet, padding, length, next | ICV |
//!  '------ AAD --------'          '----------- encrypted --------------'
//! ```
//! With extended sequence numbers the AAD is SPI and all 64 bits (RFC 4106 §5), though only the
//! low 32 travel. The datagram of UDP encapsulation (RFC 3948) carries exactly this. It knows
//! nothing of replay windows: who receives checks the number before and after [`Cipher::open`].

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use thiserror::Error;

/// Keying material of one SA, in bytes: AES-128 key, then salt (RFC 4106 §8.1).
pub const KEYING_MATERIAL_LEN: usize = KEY_LEN + SALT_LEN;
/// Bytes before the inner packet: SPI, sequence number, IV.
pub const HEADROOM: usize = HEADER_LEN + IV_LEN;
/// Bytes after the inner packet, at most: padding, its length, next header, ICV.
pub const TAILROOM: usize = 3 + TRAILER_LEN + ICV_LEN;

/// What can be read of a packet before it is authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Security Parameters Index.
    pub spi: u32,
    /// The low 32 bits of the sequence number.
    pub sequence: u32,
}

/// The key of one SA, for one direction.
pub struct Cipher {
    key: LessSafeKey,
    salt: [u8; SALT_LEN],
    spi: u32,
    esn: bool,
}

/// Why a key was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Not [`KEYING_MATERIAL_LEN`] bytes.
    #[error("{len} bytes of keying material where AES-128-GCM takes 20 (16 of key, 4 of salt)")]
    Length {
        /// Bytes given.
        len: usize,
    },
    /// 0 is the non-ESP marker of UDP encapsulation (RFC 3948 §2.2).
    #[error("an SA cannot have the SPI 0: in UDP it would look like IKE")]
    Spi,
}

/// Why a packet was not sealed.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// Numbers begin with 1 (RFC 4303 §2.2).
    #[error("sequence number 0 is never sent")]
    SequenceZero,
    /// The SA has no extended numbers and its 32 bits are used up.
    #[error("sequence number {0} needs more than the 32 bits of this SA; rekey it")]
    SequenceExhausted(u64),
    /// The buffer has no room for what surrounds the packet.
    #[error("the buffer has {len} bytes where {need} are needed")]
    Room {
        /// Bytes of the buffer.
        len: usize,
        /// Bytes needed.
        need: usize,
    },
    /// Neither IPv4 nor IPv6.
    #[error("the inner packet begins with {0:?}, so it is neither IPv4 nor IPv6")]
    NotIp(Option<u8>),
    /// The cipher refused.
    #[error("the packet could not be encrypted; is it larger than 64 GiB?")]
    Cipher,
}

/// Why a packet was not opened.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Too short for ESP, or cut.
    #[error("{0} bytes are too short for an ESP packet")]
    Short(usize),
    /// The SPI is that of another SA.
    #[error("SPI {0:#010x} is not that of the SA")]
    Spi(u32),
    /// The number's low half is not the one in the packet.
    #[error("the packet carries sequence number {0}, not the low half of the one given")]
    Sequence(u32),
    /// Forged, damaged, of another key, or opened with the wrong high half of the number.
    #[error("the integrity check failed: forged, damaged, or the wrong extended sequence number")]
    Integrity,
    /// The encrypted part does not end on 4 bytes (RFC 4303 §2.4).
    #[error("{0} encrypted bytes are not aligned to 4")]
    Alignment(usize),
    /// The padding is longer than the packet, or not 1, 2, 3, ... (RFC 4303 §2.4).
    #[error("the padding of {0} bytes is not 1, 2, 3 and so on; the sender is broken")]
    Padding(u8),
    /// A packet to be dropped in silence (RFC 4303 §2.6): it only fills the line.
    #[error("a dummy packet")]
    Dummy,
    /// Not a packet of a tunnel.
    #[error("next header {0} is neither IPv4 (4) nor IPv6 (41); is the SA in tunnel mode?")]
    NextHeader(u8),
}

impl Header {
    /// Reads the header of an ESP packet.
    ///
    /// # Errors
    /// [`OpenError::Short`] if nothing that is ESP can be that short.
    pub fn parse(packet: &[u8]) -> Result<Self, OpenError> {
        if packet.len() < HEADROOM + 4 + ICV_LEN {
            return Err(OpenError::Short(packet.len()));
        }
        Ok(Self {
            spi: word(packet, 0),
            sequence: word(packet, 4),
        })
    }
}

impl Cipher {
    /// A cipher of the SA `spi`.
    ///
    /// # Errors
    /// [`KeyError`] if the keying material or the SPI cannot be one.
    pub fn new(spi: u32, keying_material: &[u8], esn: bool) -> Result<Self, KeyError> {
        let length = KeyError::Length {
            len: keying_material.len(),
        };
        if keying_material.len() != KEYING_MATERIAL_LEN {
            return Err(length);
        }
        if spi == 0 {
            return Err(KeyError::Spi);
        }
        let (key, salt) = keying_material.split_at(KEY_LEN);
        let key = UnboundKey::new(&AES_128_GCM, key).map_err(|_| length)?;
        let mut cipher = Self {
            key: LessSafeKey::new(key),
            salt: [0; SALT_LEN],
            spi,
            esn,
        };
        cipher.salt.copy_from_slice(salt);
        Ok(cipher)
    }

    /// Seals the inner packet of `inner` bytes that lies at [`HEADROOM`] in `buffer`, with the
    /// sequence number as IV. Returns the length of the ESP packet, which begins at 0.
    ///
    /// The caller sees to it that no number is used twice: under AES-GCM that would give the
    /// plaintexts away.
    ///
    /// # Errors
    /// [`SealError`]; the buffer may hold anything then.
    pub fn seal(&self, number: u64, buffer: &mut [u8], inner: usize) -> Result<usize, SealError> {
        if number == 0 {
            return Err(SealError::SequenceZero);
        }
        if !self.esn && number > u64::from(u32::MAX) {
            return Err(SealError::SequenceExhausted(number));
        }
        let padding = (inner + TRAILER_LEN).wrapping_neg() % 4;
        let plain_end = HEADROOM + inner + padding + TRAILER_LEN;
        let need = plain_end + ICV_LEN;
        if buffer.len() < need {
            let len = buffer.len();
            return Err(SealError::Room { len, need });
        }
        let next_header = next_header(&buffer[HEADROOM..HEADROOM + inner])?;
        let trailer = &mut buffer[HEADROOM + inner..plain_end];
        for (byte, value) in trailer.iter_mut().zip(1..=padding as u8) {
            *byte = value;
        }
        trailer[padding] = padding as u8;
        trailer[padding + 1] = next_header;
        self.encrypt(number, number.to_be_bytes(), &mut buffer[..need])?;
        Ok(need)
    }

    /// Opens a packet in place and returns what is inside: an IP packet, possibly with padding
    /// for traffic flow confidentiality behind it (RFC 4303 §2.7).
    ///
    /// # Errors
    /// [`OpenError`]; the packet may hold anything then.
    pub fn open<'a>(&self, number: u64, packet: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        let plain = self.decrypt(number, packet)?;
        let [.., padding, next_header] = *plain else {
            return Err(OpenError::Short(plain.len()));
        };
        let payload = plain.len() - TRAILER_LEN;
        let inner = payload
            .checked_sub(usize::from(padding))
            .ok_or(OpenError::Padding(padding))?;
        let pads = plain[inner..payload].iter();
        if !pads.zip(1..=padding).all(|(byte, value)| *byte == value) {
            return Err(OpenError::Padding(padding));
        }
        match next_header {
            IPV4 | IPV6 => Ok(&mut plain[..inner]),
            NO_NEXT_HEADER => Err(OpenError::Dummy),
            other => Err(OpenError::NextHeader(other)),
        }
    }

    /// Encrypts what lies between [`HEADROOM`] and the place of the ICV, and writes the rest.
    fn encrypt(&self, number: u64, iv: [u8; IV_LEN], packet: &mut [u8]) -> Result<(), SealError> {
        packet[..4].copy_from_slice(&self.spi.to_be_bytes());
        packet[4..HEADER_LEN].copy_from_slice(&(number as u32).to_be_bytes());
        packet[HEADER_LEN..HEADROOM].copy_from_slice(&iv);
        let (body, icv) = packet.split_at_mut(packet.len() - ICV_LEN);
        let body = &mut body[HEADROOM..];
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(iv), self.aad(number), body)
            .map_err(|_| SealError::Cipher)?;
        icv.copy_from_slice(tag.as_ref());
        Ok(())
    }

    fn decrypt<'a>(&self, number: u64, packet: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        let header = Header::parse(packet)?;
        if header.spi != self.spi {
            return Err(OpenError::Spi(header.spi));
        }
        if header.sequence != number as u32 {
            return Err(OpenError::Sequence(header.sequence));
        }
        let (head, body) = packet.split_at_mut(HEADROOM);
        let encrypted = body.len() - ICV_LEN;
        if !encrypted.is_multiple_of(4) {
            return Err(OpenError::Alignment(encrypted));
        }
        let mut iv = [0; IV_LEN];
        iv.copy_from_slice(&head[HEADER_LEN..]);
        let opened = self
            .key
            .open_in_place(self.nonce(iv), self.aad(number), body);
        opened.map_err(|_| OpenError::Integrity)
    }

    /// RFC 4106 §4: salt, then IV.
    fn nonce(&self, iv: [u8; IV_LEN]) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[..SALT_LEN].copy_from_slice(&self.salt);
        nonce[SALT_LEN..].copy_from_slice(&iv);
        Nonce::assume_unique_for_key(nonce)
    }

    /// RFC 4106 §5.
    fn aad(&self, number: u64) -> Aad<AadBytes> {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.spi.to_be_bytes());
        let number = number.to_be_bytes();
        let number = if self.esn { &number[..] } else { &number[4..] };
        bytes[4..4 + number.len()].copy_from_slice(number);
        Aad::from(AadBytes {
            bytes,
            len: 4 + number.len(),
        })
    }
}

/// 8 or 12 bytes.
struct AadBytes {
    bytes: [u8; 12],
    len: usize,
}

impl AsRef<[u8]> for AadBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn next_header(inner: &[u8]) -> Result<u8, SealError> {
    match inner.first() {
        Some(first) if first >> 4 == 4 => Ok(IPV4),
        Some(first) if first >> 4 == 6 => Ok(IPV6),
        other => Err(SealError::NotIp(other.copied())),
    }
}

fn word(packet: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&packet[at..at + 4]);
    u32::from_be_bytes(bytes)
}

const KEY_LEN: usize = 16;
const SALT_LEN: usize = 4;
const HEADER_LEN: usize = 8;
const IV_LEN: usize = 8;
/// Padding length and next header.
const TRAILER_LEN: usize = 2;
const ICV_LEN: usize = 16;

const IPV4: u8 = 4;
const IPV6: u8 = 41;
const NO_NEXT_HEADER: u8 = 59;

#[cfg(test)]
mod tests;
