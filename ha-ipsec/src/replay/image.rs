//! What the standby learns of a window.

use core::ops::RangeInclusive;

use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

use super::WindowSize;
use super::ring::LAST_NUMBER;
use super::size::BLOCK;

/// A window as the standby needs it to go on: of a strict one only the ceiling, of one that is
/// restored the top and what was not seen below it.
///
/// What is not listed as unseen counts as seen, so an image fits a window of any size: one that
/// reaches back further accepts nothing that the sender's could not tell apart.
///
/// # Encoding
/// ```text
///   0  ceiling                          strict
///   1  top  ( seen - 1, unseen - 1 )*   runs of numbers, alternating, from the top down
///   2  top  bits                        bit i: top - 1 - i is unseen; if that is shorter
/// ```
/// Numbers are varints of 7 bits in each byte, low ones first. Below the last run, all is seen: a
/// window of any size without holes takes one byte besides its top. Equal images have equal
/// encodings, and [`decode`](Self::decode) takes no other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WindowImage(Form);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Form {
    Ceiling(u64),
    Window { top: u64, runs: Vec<Run> },
}

/// `seen` numbers and below them `unseen` ones; neither is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    seen: u32,
    unseen: u32,
}

impl WindowImage {
    /// The longest encoding, in bytes.
    pub const MAX_ENCODED_LEN: usize = 1 + MAX_VARINT_LEN + WindowSize::MAX.packets() as usize / 8;

    /// A strict window: nothing above `ceiling` was delivered.
    pub const fn strict(ceiling: u64) -> Self {
        Self(Form::Ceiling(ceiling))
    }

    /// A window with `top` as its highest number, and `unseen` below it: not empty, not
    /// overlapping, from the top down.
    pub(super) fn window(top: u64, unseen: impl Iterator<Item = RangeInclusive<u64>>) -> Self {
        let (mut runs, mut below) = (Vec::<Run>::new(), top + 1);
        for gap in unseen {
            let (first, last) = gap.into_inner();
            let (seen, unseen) = ((below - 1 - last) as u32, (last - first + 1) as u32);
            match runs.last_mut() {
                Some(run) if seen == 0 => run.unseen += unseen,
                _ => runs.push(Run { seen, unseen }),
            }
            below = first;
        }
        Self(Form::Window { top, runs })
    }

    /// The number above which nothing was delivered, for a strict window.
    pub const fn ceiling(&self) -> Option<u64> {
        match self.0 {
            Form::Ceiling(ceiling) => Some(ceiling),
            Form::Window { .. } => None,
        }
    }

    /// The highest number that counts as delivered: the ceiling, or the top.
    pub const fn top(&self) -> u64 {
        match self.0 {
            Form::Ceiling(top) | Form::Window { top, .. } => top,
        }
    }

    /// The numbers below the top that count as not yet delivered, from the top down.
    pub fn unseen(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        let mut below = self.top() + 1;
        self.runs().iter().map(move |run| {
            let last = below - 1 - u64::from(run.seen);
            below = last + 1 - u64::from(run.unseen);
            below..=last
        })
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let bits = self.bits_len();
        let tag = match &self.0 {
            Form::Ceiling(_) => TAG_CEILING,
            Form::Window { .. } if bits < self.runs_len() => TAG_BITS,
            Form::Window { .. } => TAG_RUNS,
        };
        out.push(tag);
        encode_varint(self.top(), out);
        if tag == TAG_BITS {
            self.encode_bits(bits, out);
            return;
        }
        for run in self.runs() {
            encode_varint(u64::from(run.seen - 1), out);
            encode_varint(u64::from(run.unseen - 1), out);
        }
    }

    /// The length of the encoding in bytes.
    pub fn encoded_len(&self) -> usize {
        1 + encoded_len_varint(self.top()) + self.bits_len().min(self.runs_len())
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// On anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, ImageError> {
        let (&tag, mut rest) = bytes.split_first().ok_or(ImageError::Truncated)?;
        let top = varint(&mut rest)?;
        if top > LAST_NUMBER {
            return Err(ImageError::Number { number: top });
        }
        let image = match tag {
            TAG_CEILING if rest.is_empty() => Self::strict(top),
            TAG_CEILING => return Err(ImageError::NotCanonical),
            TAG_RUNS => decode_runs(top, rest)?,
            TAG_BITS => decode_bits(top, rest)?,
            tag => return Err(ImageError::Tag { tag }),
        };
        // There is one encoding of the least length, but for a tie, in which runs win.
        let tie = tag == TAG_BITS && image.bits_len() == image.runs_len();
        if tie || image.encoded_len() != bytes.len() {
            return Err(ImageError::NotCanonical);
        }
        Ok(image)
    }

    fn runs(&self) -> &[Run] {
        match &self.0 {
            Form::Ceiling(_) => &[],
            Form::Window { runs, .. } => runs,
        }
    }

    fn runs_len(&self) -> usize {
        let len = |n: u32| encoded_len_varint(u64::from(n - 1));
        self.runs()
            .iter()
            .map(|run| len(run.seen) + len(run.unseen))
            .sum()
    }

    fn bits_len(&self) -> usize {
        let reach: u32 = self.runs().iter().map(|run| run.seen + run.unseen).sum();
        (reach.saturating_sub(1) as usize).div_ceil(8)
    }

    fn encode_bits(&self, len: usize, out: &mut Vec<u8>) {
        let begin = out.len();
        out.resize(begin + len, 0);
        let bits = &mut out[begin..];
        for number in self.unseen().flatten() {
            let at = (self.top() - 1 - number) as usize;
            bits[at / 8] |= 1 << (at % 8);
        }
    }
}

/// Why bytes are not an image of a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It ends too early, or a number in it has no end.
    #[error("the image of an anti-replay window is cut off")]
    Truncated,
    /// An unknown form.
    #[error("form {tag} of an anti-replay window is unknown here; upgrade this unit")]
    Tag {
        /// The form's tag.
        tag: u8,
    },
    /// A number that no window can hold.
    #[error("{number} is beyond the sequence numbers that an anti-replay window can hold")]
    Number {
        /// The number.
        number: u64,
    },
    /// Something is unseen below number 1 or further back than the largest window.
    #[error("the image of an anti-replay window reaches further back than a window can")]
    TooFarBack,
    /// The same could be said in another way, which is the one to be used.
    #[error("the image of an anti-replay window is not in canonical form (damaged?)")]
    NotCanonical,
}

fn decode_runs(top: u64, mut bytes: &[u8]) -> Result<WindowImage, ImageError> {
    let (mut runs, mut left) = (vec![], top.min(u64::from(WindowSize::MAX.packets())));
    while !bytes.is_empty() {
        let mut length = || {
            let length = varint(&mut bytes)?.saturating_add(1);
            left = left.checked_sub(length).ok_or(ImageError::TooFarBack)?;
            Ok(length as u32)
        };
        runs.push(Run {
            seen: length()?,
            unseen: length()?,
        });
    }
    Ok(WindowImage(Form::Window { top, runs }))
}

fn decode_bits(top: u64, bytes: &[u8]) -> Result<WindowImage, ImageError> {
    let last = bytes.last().ok_or(ImageError::Truncated)?;
    let Some(highest) = last.checked_ilog2() else {
        return Err(ImageError::NotCanonical);
    };
    // The top itself is one number more.
    let reach = (bytes.len() as u64 - 1) * 8 + u64::from(highest) + 2;
    if reach > top.min(u64::from(WindowSize::MAX.packets())) {
        return Err(ImageError::TooFarBack);
    }
    let is_unseen = |at: &u64| bytes[*at as usize / 8] >> (at % 8) & 1 == 1;
    let unseen = (0..reach - 1).filter(is_unseen).map(|at| top - 1 - at);
    Ok(WindowImage::window(
        top,
        unseen.map(|number| number..=number),
    ))
}

fn varint(bytes: &mut &[u8]) -> Result<u64, ImageError> {
    decode_varint(bytes).map_err(|_| ImageError::Truncated)
}

/// The runs of set bits of `holes` as numbers of `block`, from the top down.
pub(super) fn gaps(block: u64, mut holes: u32) -> impl Iterator<Item = RangeInclusive<u64>> {
    let begin = block * u64::from(BLOCK);
    core::iter::from_fn(move || {
        let last = holes.checked_ilog2()?;
        let len = (holes << (BLOCK - 1 - last)).leading_ones();
        let first = last + 1 - len;
        holes &= !(u32::MAX << first);
        Some(begin + u64::from(first)..=begin + u64::from(last))
    })
}

const TAG_CEILING: u8 = 0;
const TAG_RUNS: u8 = 1;
const TAG_BITS: u8 = 2;

/// Of a number up to [`LAST_NUMBER`].
const MAX_VARINT_LEN: usize = (LAST_NUMBER.ilog2() as usize + 1).div_ceil(7);

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(image: &WindowImage) -> Vec<u8> {
        let mut out = vec![];
        image.encode(&mut out);
        out
    }

    fn with_unseen(top: u64, unseen: &[RangeInclusive<u64>]) -> WindowImage {
        WindowImage::window(top, unseen.iter().cloned())
    }

    #[test]
    fn encodings_are_short() {
        assert_eq!(encoded(&WindowImage::strict(100)), [0, 100]);
        assert_eq!(encoded(&with_unseen(100, &[])), [1, 100]);
        assert_eq!(encoded(&with_unseen(300, &[])), [1, 0xac, 2]);
        // 99 and 98 are missing, and 90.
        let holes = [98..=99, 90..=90];
        assert_eq!(encoded(&with_unseen(100, &holes)), [2, 100, 3, 2]);
        let far = [40..=60];
        assert_eq!(encoded(&with_unseen(100, &far)), [1, 100, 39, 20]);
    }

    #[test]
    fn adjacent_gaps_are_one() {
        let parts = [96..=99, 64..=95, 60..=63];
        assert_eq!(
            with_unseen(100, &parts),
            with_unseen(100, core::slice::from_ref(&(60..=99)))
        );
    }

    #[test]
    fn damage_is_told_apart() {
        use ImageError::*;
        let cases: [(&[u8], ImageError); 14] = [
            (&[], Truncated),
            (&[0], Truncated),
            (&[0, 0x80], Truncated),
            (&[1, 100, 3], Truncated),
            (&[2, 100], Truncated),
            (&[3, 1], Tag { tag: 3 }),
            (
                &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
                Number {
                    number: (1 << 42) - 1,
                },
            ),
            (&[0, 100, 0], NotCanonical),
            (&[0, 0xe4, 0], NotCanonical),
            (&[2, 100, 1, 0], NotCanonical),
            // Runs where bits are shorter, bits where runs are as short.
            (&[1, 100, 0, 1, 7, 0], NotCanonical),
            (&[2, 100, 0, 1], NotCanonical),
            (&[1, 3, 0, 2], TooFarBack),
            (&[2, 3, 0b100], TooFarBack),
        ];
        for (bytes, error) in cases {
            assert_eq!(WindowImage::decode(bytes), Err(error), "{bytes:?}");
        }
        assert!(
            WindowImage::decode(&[1, 3, 0, 1]).is_err(),
            "bits are shorter"
        );
        assert!(
            WindowImage::decode(&[2, 3, 0b11]).is_ok(),
            "down to number 1"
        );
    }

    #[test]
    fn the_longest_is_within_the_limit() {
        let top = LAST_NUMBER;
        let alternate = (1..WindowSize::MAX.packets() as u64)
            .step_by(2)
            .map(|back| top - back..=top - back);
        let image = WindowImage::window(top, alternate);
        let bytes = encoded(&image);
        assert_eq!(bytes.len(), WindowImage::MAX_ENCODED_LEN);
        assert_eq!(WindowImage::decode(&bytes), Ok(image));
        // One number further back than a window can reach.
        let far = WindowSize::MAX.packets() as u64;
        let beyond = encoded(&with_unseen(top, &[top - far..=top - far]));
        assert_eq!(WindowImage::decode(&beyond), Err(ImageError::TooFarBack));
    }

    #[test]
    fn gaps_are_the_runs_of_a_block() {
        let all: Vec<_> = gaps(2, 0b1000_0000_0000_0000_0000_0001_1001_0111).collect();
        assert_eq!(all, [95..=95, 71..=72, 68..=68, 64..=66]);
        assert_eq!(gaps(1, u32::MAX).collect::<Vec<_>>(), [32..=63]);
        assert_eq!(gaps(1, 0).count(), 0);
    }

    proptest! {
        #[test]
        fn images_survive_the_wire(
            top in 1..=LAST_NUMBER,
            seen in proptest::collection::vec(any::<bool>(), 0..600),
        ) {
            let unseen: Vec<_> = (1..)
                .zip(&seen)
                .filter(|(back, seen)| !**seen && *back < top)
                .map(|(back, _)| top - back..=top - back)
                .collect();
            let image = with_unseen(top, &unseen);
            let bytes = encoded(&image);
            prop_assert_eq!(bytes.len(), image.encoded_len());
            prop_assert_eq!(WindowImage::decode(&bytes), Ok(image.clone()));
            let listed: Vec<_> = image.unseen().flat_map(|gap| gap.rev()).collect();
            let expected: Vec<_> = unseen.into_iter().flatten().collect();
            prop_assert_eq!(listed, expected);
        }

        #[test]
        fn whatever_is_read_is_canonical(
            bytes in proptest::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..12),
        ) {
            if let Ok(image) = WindowImage::decode(&bytes) {
                prop_assert_eq!(encoded(&image), bytes);
            }
        }
    }
}
