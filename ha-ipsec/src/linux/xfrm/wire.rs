//! Structs as bytes: the kernel's layout, in its byte order.

/// A value of fixed size in a message.
pub(super) trait Wire: Sized {
    /// Its size, padding included.
    const BYTES: usize;
    fn read(reader: &mut Reader<'_>) -> Self;
    fn write(&self, out: &mut Vec<u8>);

    /// From the beginning of `bytes`; `None` if they are too few.
    fn from_prefix(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes.get(..Self::BYTES)?);
        Some(Self::read(&mut reader))
    }
}

/// Reads what was found to be long enough; beyond the end it reads zeros.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((first, rest)) = self.0.split_first_chunk() else {
            self.0 = &[];
            return [0; N];
        };
        self.0 = rest;
        *first
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }
}

/// How a field is written: in the machine's order, or ...
pub(super) struct Native;
/// ... in network order (`__be16`, `__be32`).
pub(super) struct Big;

pub(super) trait Form<T> {
    fn read(reader: &mut Reader<'_>) -> T;
    fn write(value: &T, out: &mut Vec<u8>);
}

impl<T: Wire> Form<T> for Native {
    fn read(reader: &mut Reader<'_>) -> T {
        T::read(reader)
    }

    fn write(value: &T, out: &mut Vec<u8>) {
        value.write(out);
    }
}

macro_rules! number {
    ($($type:ty)*) => { $(
        impl Wire for $type {
            const BYTES: usize = size_of::<$type>();

            fn read(reader: &mut Reader<'_>) -> Self {
                Self::from_ne_bytes(reader.take())
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_ne_bytes());
            }
        }

        impl Form<$type> for Big {
            fn read(reader: &mut Reader<'_>) -> $type {
                <$type>::from_be_bytes(reader.take())
            }

            fn write(value: &$type, out: &mut Vec<u8>) {
                out.extend_from_slice(&value.to_be_bytes());
            }
        }
    )* };
}

number! { u8 u16 u32 u64 i32 }

/// A struct of the kernel: `field: type as Big; 3` is a field in network order with three bytes of
/// padding behind it. The number behind the name is the size that the kernel's compiler gives it.
macro_rules! wire {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident[$bytes:literal] {
            $( $(#[$doc:meta])* $field:ident: $type:ty $(as $form:ident)? $(; $padding:literal)?, )*
        }
    )*) => { $(
        $(#[$attribute])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        $visibility struct $name {
            $( $(#[$doc])* pub $field: $type, )*
        }

        impl $crate::linux::xfrm::wire::Wire for $name {
            const BYTES: usize = $bytes;

            fn read(reader: &mut $crate::linux::xfrm::wire::Reader<'_>) -> Self {
                $(
                    let $field = <wire!(form $($form)?) as $crate::linux::xfrm::wire::Form<$type>>::read(reader);
                    $( reader.skip($padding); )?
                )*
                Self { $( $field, )* }
            }

            fn write(&self, out: &mut Vec<u8>) {
                $(
                    <wire!(form $($form)?) as $crate::linux::xfrm::wire::Form<$type>>::write(&self.$field, out);
                    $( out.extend_from_slice(&[0; $padding]); )?
                )*
            }
        }
    )* };
    (form) => { $crate::linux::xfrm::wire::Native };
    (form $form:ident) => { $crate::linux::xfrm::wire::$form };
}

pub(super) use wire;

/// Netlink aligns messages and attributes to four bytes.
pub(super) const fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// Zeros up to the next multiple of four, counted from `begin`.
pub(super) fn pad(out: &mut Vec<u8>, begin: usize) {
    let len = out.len() - begin;
    out.resize(begin + align(len), 0);
}
