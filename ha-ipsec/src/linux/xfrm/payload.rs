//! What attributes hold, as bytes.

use super::algorithm::{AeadAlgorithm, Algorithm, AuthAlgorithm};
use super::structs::{PolicyInfo, ReplayEsn, SaInfo, SecurityContext, Template};
use super::wire::{Reader, Wire};
use crate::secret::Secret;

/// The value of an attribute.
pub(super) trait Payload: Sized {
    /// `Ok(None)` if the bytes say more than this release would write again: they are kept as they
    /// came.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Fault>;
    fn encode(&self, out: &mut Vec<u8>);
    fn encoded_len(&self) -> usize;
}

/// What is wrong with a payload.
pub(super) enum Fault {
    Short {
        expected: usize,
    },
    Limit {
        what: &'static str,
        got: usize,
        allowed: usize,
    },
}

impl<T: Wire> Payload for T {
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let expected = T::BYTES;
        let value = T::from_prefix(bytes).ok_or(Fault::Short { expected })?;
        Ok((bytes.len() == expected).then_some(value))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.write(out);
    }

    fn encoded_len(&self) -> usize {
        T::BYTES
    }
}

macro_rules! boxed {
    ($($type:ty)*) => { $(
        impl Payload for Box<$type> {
            fn decode(bytes: &[u8]) -> Result<Option<Self>, Fault> {
                Ok(<$type>::decode(bytes)?.map(Box::new))
            }

            fn encode(&self, out: &mut Vec<u8>) {
                self.write(out);
            }

            fn encoded_len(&self) -> usize {
                <$type>::BYTES
            }
        }
    )* };
}

boxed! { SaInfo PolicyInfo }

/// The kernel allows XFRM_MAX_DEPTH, 6.
impl Payload for Vec<Template> {
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let (templates, rest) = bytes.as_chunks::<{ Template::BYTES }>();
        if templates.len() > MAX_TEMPLATES {
            return Err(Fault::Limit {
                what: "templates",
                got: templates.len(),
                allowed: MAX_TEMPLATES,
            });
        }
        if !rest.is_empty() {
            let expected = (templates.len() + 1) * Template::BYTES;
            return Err(Fault::Short { expected });
        }
        Ok(templates
            .iter()
            .map(|it| Template::from_prefix(it))
            .collect())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|template| template.write(out));
    }

    fn encoded_len(&self) -> usize {
        self.len() * Template::BYTES
    }
}

impl Payload for ReplayEsn {
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let short = |expected| Fault::Short { expected };
        let (head, words) = bytes
            .split_first_chunk::<{ Self::HEAD_BYTES }>()
            .ok_or(short(Self::HEAD_BYTES))?;
        let mut reader = Reader::new(head);
        let mut next = || u32::read(&mut reader);
        let bmp_len = next() as usize;
        let (oseq, seq, oseq_hi, seq_hi) = (next(), next(), next(), next());
        let replay_window = next();
        if bmp_len > Self::MAX_WORDS {
            return Err(Fault::Limit {
                what: "words of bitmap",
                got: bmp_len,
                allowed: Self::MAX_WORDS,
            });
        }
        if words.len() < 4 * bmp_len {
            return Err(short(Self::HEAD_BYTES + 4 * bmp_len));
        }
        if words.len() > 4 * bmp_len {
            return Ok(None);
        }
        let (words, _) = words.as_chunks();
        Ok(Some(Self {
            oseq,
            seq,
            oseq_hi,
            seq_hi,
            replay_window,
            bmp: words.iter().map(|word| u32::from_ne_bytes(*word)).collect(),
        }))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        // More words than fit are refused by their length.
        (self.bmp.len() as u32).write(out);
        for value in [
            self.oseq,
            self.seq,
            self.oseq_hi,
            self.seq_hi,
            self.replay_window,
        ] {
            value.write(out);
        }
        self.bmp.iter().for_each(|word| word.write(out));
    }

    fn encoded_len(&self) -> usize {
        Self::HEAD_BYTES + 4 * self.bmp.len()
    }
}

/// `len` says the length of all of it.
impl Payload for SecurityContext {
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let (head, label) =
            bytes
                .split_first_chunk::<{ Self::HEAD_BYTES }>()
                .ok_or(Fault::Short {
                    expected: Self::HEAD_BYTES,
                })?;
        let mut reader = Reader::new(head);
        let (len, exttype) = (u16::read(&mut reader), u16::read(&mut reader));
        let (ctx_alg, ctx_doi) = (u8::read(&mut reader), u8::read(&mut reader));
        let ctx_len = usize::from(u16::read(&mut reader));
        if label.len() < ctx_len {
            return Err(Fault::Short {
                expected: Self::HEAD_BYTES + ctx_len,
            });
        }
        let whole = label.len() == ctx_len && usize::from(len) == bytes.len();
        Ok(whole.then(|| Self {
            exttype,
            ctx_alg,
            ctx_doi,
            label: Secret::new(label),
        }))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        // Longer labels are refused by the length of the attribute.
        (self.encoded_len() as u16).write(out);
        self.exttype.write(out);
        self.ctx_alg.write(out);
        self.ctx_doi.write(out);
        (self.label.len() as u16).write(out);
        out.extend_from_slice(self.label.expose());
    }

    fn encoded_len(&self) -> usize {
        Self::HEAD_BYTES + self.label.len()
    }
}

impl Payload for Algorithm {
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let found = keyed::<0>(bytes)?;
        Ok(found.map(|(name, [], key)| Self { name, key }))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.name.write(out);
        bits(&self.key).write(out);
        out.extend_from_slice(self.key.expose());
    }

    fn encoded_len(&self) -> usize {
        NAME_BYTES + 4 + self.key.len()
    }
}

macro_rules! with_icv {
    ($($type:ident.$icv:ident)*) => { $(
        impl Payload for $type {
            fn decode(bytes: &[u8]) -> Result<Option<Self>, Fault> {
                let found = keyed::<1>(bytes)?;
                Ok(found.map(|(name, [$icv], key)| Self { name, $icv, key }))
            }

            fn encode(&self, out: &mut Vec<u8>) {
                self.name.write(out);
                bits(&self.key).write(out);
                self.$icv.write(out);
                out.extend_from_slice(self.key.expose());
            }

            fn encoded_len(&self) -> usize {
                NAME_BYTES + 8 + self.key.len()
            }
        }
    )* };
}

with_icv! { AuthAlgorithm.trunc_bits AeadAlgorithm.icv_bits }

type Keyed<const N: usize> = (super::AlgorithmName, [u32; N], Secret);

/// A name, the length of the key in bits, `N` more numbers, and the key.
fn keyed<const N: usize>(bytes: &[u8]) -> Result<Option<Keyed<N>>, Fault> {
    let head = NAME_BYTES + 4 * (N + 1);
    let (head, key) = bytes
        .split_at_checked(head)
        .ok_or(Fault::Short { expected: head })?;
    let mut reader = Reader::new(head);
    let name = super::AlgorithmName::read(&mut reader);
    let key_bits = u32::read(&mut reader) as usize;
    let numbers = core::array::from_fn(|_| u32::read(&mut reader));
    if key.len() < key_bits.div_ceil(8) {
        return Err(Fault::Short {
            expected: head.len() + key_bits.div_ceil(8),
        });
    }
    let whole = key.len() * 8 == key_bits;
    Ok(whole.then(|| (name, numbers, Secret::new(key))))
}

/// Keys too long to count are refused by the length of the attribute.
fn bits(key: &Secret) -> u32 {
    u32::try_from(key.len()).map_or(u32::MAX, |bytes| bytes.saturating_mul(8))
}

const NAME_BYTES: usize = 64;
/// More than any kernel has.
pub(super) const MAX_TEMPLATES: usize = 64;
