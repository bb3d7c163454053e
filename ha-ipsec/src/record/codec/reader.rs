//! Reads fields in the one order and form that there is.

use core::net::IpAddr;

use bytes::Bytes;
use prost::encoding::WireType;

use super::super::{Name, RecordError, Unknown};
use crate::secret::Secret;

/// What is known of a message: its fields have the numbers 1, 2, 3 … without a gap.
#[derive(Debug)]
pub(super) struct Schema {
    /// The names, for errors.
    pub(super) names: &'static [&'static str],
    /// Which fields may come more than once.
    pub(super) repeated: &'static [u32],
}

/// The fields of a message.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    schema: &'static Schema,
    last: u32,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(bytes: &'a [u8], schema: &'static Schema) -> Self {
        Self {
            rest: bytes,
            schema,
            last: 0,
        }
    }

    /// The next field that is known; none at the end of those.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, RecordError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut rest = self.rest;
        let (number, wire_type) = self.key(&mut rest)?;
        let Some(name) = self.schema.names.get(number as usize - 1) else {
            return Ok(None);
        };
        if number < self.last || (number == self.last && !self.schema.repeated.contains(&number)) {
            return Err(RecordError::NotCanonical { field: name });
        }
        let value = value(wire_type, &mut rest, name)?;
        (self.rest, self.last) = (rest, number);
        Ok(Some(Field {
            number,
            name,
            value,
        }))
    }

    /// What is left when [`next`](Self::next) has returned none: the fields of a newer release.
    pub(super) fn unknown(mut self) -> Result<Unknown, RecordError> {
        const FIELD: &str = "fields of a newer release";
        let all = self.rest;
        limit(FIELD, all.len(), Unknown::MAX_BYTES)?;
        while !self.rest.is_empty() {
            let mut rest = self.rest;
            let (number, wire_type) = self.key(&mut rest)?;
            // Known ones would have come first.
            if number < self.last || (number as usize) <= self.schema.names.len() {
                return Err(RecordError::NotCanonical { field: FIELD });
            }
            value(wire_type, &mut rest, FIELD)?;
            (self.rest, self.last) = (rest, number);
        }
        Ok(Unknown::from_bytes(all))
    }

    /// For a message within a record, which grows only with the version of the record.
    pub(super) fn finish(self) -> Result<(), RecordError> {
        let field = self.name_of_last();
        match self.rest {
            [] => Ok(()),
            _ => Err(RecordError::Malformed { field }),
        }
    }

    #[inline]
    fn key(&self, rest: &mut &'a [u8]) -> Result<(u32, WireType), RecordError> {
        let malformed = || RecordError::Malformed {
            field: self.name_of_last(),
        };
        let key = varint(rest).map_err(|bad| bad.of(self.name_of_last()))?;
        let number = u32::try_from(key >> 3).map_err(|_| malformed())?;
        let wire_type = WireType::try_from(key & 7).map_err(|_| malformed())?;
        match number {
            1..=MAX_FIELD => Ok((number, wire_type)),
            _ => Err(malformed()),
        }
    }

    fn name_of_last(&self) -> &'static str {
        let index = (self.last as usize).saturating_sub(1);
        self.schema.names.get(index).copied().unwrap_or("unknown")
    }
}

/// The highest field number of protobuf.
const MAX_FIELD: u32 = (1 << 29) - 1;

/// What can be wrong with a number.
#[derive(Clone, Copy)]
enum BadNumber {
    Malformed,
    Padded,
}

impl BadNumber {
    const fn of(self, field: &'static str) -> RecordError {
        match self {
            Self::Malformed => RecordError::Malformed { field },
            Self::Padded => RecordError::NotCanonical { field },
        }
    }
}

/// A base-128 number in as few bytes as it takes. Most take one.
#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, BadNumber> {
    match **rest {
        [byte @ 0..0x80, ref after @ ..] => {
            *rest = after;
            Ok(byte.into())
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, BadNumber> {
    let mut value = 0;
    for (index, &byte) in rest.iter().enumerate().take(MAX_VARINT) {
        let last = byte < 0x80;
        value |= u64::from(byte & 0x7f) << (7 * index);
        match (last, index + 1 == MAX_VARINT) {
            (true, _) if byte == 0 => return Err(BadNumber::Padded),
            (true, true) if byte > 1 => return Err(BadNumber::Malformed),
            (true, _) => {
                *rest = &rest[index + 1..];
                return Ok(value);
            }
            (false, _) => {}
        }
    }
    Err(BadNumber::Malformed)
}

/// The most bytes that a number of 64 bits takes.
const MAX_VARINT: usize = 10;

#[inline]
fn value<'a>(
    wire_type: WireType,
    rest: &mut &'a [u8],
    field: &'static str,
) -> Result<Value<'a>, RecordError> {
    Ok(match wire_type {
        WireType::Varint => Value::Varint(varint(rest).map_err(|bad| bad.of(field))?),
        WireType::ThirtyTwoBit => Value::Fixed32(u32::from_le_bytes(array(rest, field)?)),
        WireType::SixtyFourBit => Value::Fixed64(u64::from_le_bytes(array(rest, field)?)),
        WireType::LengthDelimited => {
            let length = varint(rest).map_err(|bad| bad.of(field))?;
            let length = usize::try_from(length).map_err(|_| RecordError::Malformed { field })?;
            Value::Bytes(take(rest, length, field)?)
        }
        WireType::StartGroup | WireType::EndGroup => {
            return Err(RecordError::Malformed { field });
        }
    })
}

fn take<'a>(
    rest: &mut &'a [u8],
    length: usize,
    field: &'static str,
) -> Result<&'a [u8], RecordError> {
    let (bytes, after) = rest
        .split_at_checked(length)
        .ok_or(RecordError::Malformed { field })?;
    *rest = after;
    Ok(bytes)
}

fn array<const N: usize>(rest: &mut &[u8], field: &'static str) -> Result<[u8; N], RecordError> {
    let (bytes, after) = rest
        .split_first_chunk()
        .ok_or(RecordError::Malformed { field })?;
    *rest = after;
    Ok(*bytes)
}

/// Checks a length or a count.
pub(in crate::record) fn limit(
    field: &'static str,
    got: usize,
    allowed: usize,
) -> Result<(), RecordError> {
    if got > allowed {
        let (got, allowed) = (got as u64, allowed as u64);
        return Err(RecordError::Limit {
            field,
            got,
            allowed,
        });
    }
    Ok(())
}

/// A field and its value.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) name: &'static str,
    value: Value<'a>,
}

/// What a field holds. Its bytes may be those of a key.
enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

impl core::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Value")
    }
}

impl<'a> Field<'a> {
    /// A number that may be absent, or there and 0.
    pub(super) fn some_uint(&self) -> Result<u64, RecordError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.malformed()),
        }
    }

    /// A number; 0 would have been left out.
    pub(super) fn uint(&self) -> Result<u64, RecordError> {
        self.not_default(self.some_uint()?, |value| *value == 0)
    }

    /// As [`uint`](Self::uint), of a smaller type.
    pub(super) fn small<T: TryFrom<u64>>(&self) -> Result<T, RecordError> {
        narrow(self.name, self.uint()?)
    }

    /// As [`some_uint`](Self::some_uint), of a smaller type.
    pub(super) fn some_small<T: TryFrom<u64>>(&self) -> Result<T, RecordError> {
        narrow(self.name, self.some_uint()?)
    }

    /// One of these values, by their numbers on the wire.
    pub(super) fn one_of<T: Copy>(&self, values: &[(u64, T)]) -> Result<T, RecordError> {
        let value = self.uint()?;
        let found = values.iter().find(|(number, _)| *number == value);
        found.map(|(_, value)| *value).ok_or(self.unknown(value))
    }

    /// True; false would have been left out.
    pub(super) fn yes(&self) -> Result<bool, RecordError> {
        self.one_of(&[(1, true)])
    }

    pub(super) fn fixed32(&self) -> Result<u32, RecordError> {
        match self.value {
            Value::Fixed32(value) => self.not_default(value, |value| *value == 0),
            _ => Err(self.malformed()),
        }
    }

    pub(super) fn some_fixed32(&self) -> Result<u32, RecordError> {
        match self.value {
            Value::Fixed32(value) => Ok(value),
            _ => Err(self.malformed()),
        }
    }

    pub(super) fn fixed64(&self) -> Result<u64, RecordError> {
        self.not_default(self.some_fixed64()?, |value| *value == 0)
    }

    pub(super) fn some_fixed64(&self) -> Result<u64, RecordError> {
        match self.value {
            Value::Fixed64(value) => Ok(value),
            _ => Err(self.malformed()),
        }
    }

    /// At most `max` bytes, and possibly none.
    pub(super) fn some_bytes(&self, max: usize) -> Result<&'a [u8], RecordError> {
        match self.value {
            Value::Bytes(bytes) => limit(self.name, bytes.len(), max).map(|()| bytes),
            _ => Err(self.malformed()),
        }
    }

    /// At most `max` bytes; none would have been left out.
    pub(super) fn bytes(&self, max: usize) -> Result<&'a [u8], RecordError> {
        self.not_default(self.some_bytes(max)?, |bytes| bytes.is_empty())
    }

    /// A copy of [`bytes`](Self::bytes).
    pub(super) fn copied(&self, max: usize) -> Result<Bytes, RecordError> {
        self.bytes(max).map(Bytes::copy_from_slice)
    }

    /// A message, for which there is no limit but its record's.
    pub(super) fn message(&self) -> Result<&'a [u8], RecordError> {
        self.some_bytes(usize::MAX)
    }

    pub(super) fn some_text(&self, max: usize) -> Result<&'a str, RecordError> {
        core::str::from_utf8(self.some_bytes(max)?).map_err(|_| self.malformed())
    }

    pub(super) fn name(&self) -> Result<Name, RecordError> {
        let text = self.some_text(Name::MAX_BYTES)?;
        self.not_default(text, |text| text.is_empty())
            .map(Name::new)
    }

    pub(super) fn secret(&self) -> Result<Secret, RecordError> {
        self.bytes(Secret::MAX_BYTES).map(Secret::new)
    }

    pub(super) fn address(&self) -> Result<IpAddr, RecordError> {
        let bytes = self.bytes(16)?;
        address(bytes).ok_or_else(|| self.malformed())
    }

    pub(super) const fn malformed(&self) -> RecordError {
        RecordError::Malformed { field: self.name }
    }

    pub(super) const fn not_canonical(&self) -> RecordError {
        RecordError::NotCanonical { field: self.name }
    }

    pub(super) const fn unknown(&self, value: u64) -> RecordError {
        let field = self.name;
        RecordError::UnknownValue { field, value }
    }

    fn not_default<T>(&self, value: T, default: impl Fn(&T) -> bool) -> Result<T, RecordError> {
        if default(&value) {
            return Err(self.not_canonical());
        }
        Ok(value)
    }
}

/// An address of 4 or 16 bytes.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn narrow<T: TryFrom<u64>>(field: &'static str, got: u64) -> Result<T, RecordError> {
    T::try_from(got).map_err(|_| RecordError::Limit {
        field,
        got,
        allowed: (1 << (8 * size_of::<T>())) - 1,
    })
}
