//! The bytes of an entry, as they arrived.

/// An encoded value. Nearly all fit in place; a window with many holes goes to the heap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Raw {
    Short {
        len: u8,
        bytes: [u8; Self::IN_PLACE],
    },
    Long(Box<Long>),
}

/// Behind one pointer: most entries would pay for a longer one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Long(Box<[u8]>);

impl Raw {
    const IN_PLACE: usize = 14;

    pub(crate) fn new(value: &[u8]) -> Self {
        match u8::try_from(value.len()) {
            Ok(len) if value.len() <= Self::IN_PLACE => {
                let mut bytes = [0; Self::IN_PLACE];
                bytes[..value.len()].copy_from_slice(value);
                Self::Short { len, bytes }
            }
            _ => Self::Long(Box::new(Long(value.into()))),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(long) => &long.0,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::Raw;

    #[test]
    fn bytes_come_back_whatever_their_number() {
        for len in 0..100 {
            let bytes: Vec<u8> = (0..len).collect();
            assert_eq!(Raw::new(&bytes).bytes(), bytes);
        }
        assert_eq!(size_of::<Raw>(), 16);
    }
}
