//! What makes a record one that can be used and sent.

mod ike;
mod ipsec;

use super::codec::limit;
use super::{Name, RecordError, Selector, Transform, TransformKind, Unusable};
use crate::secret::Secret;

fn refuse_if(wrong: bool, what: &'static str) -> Result<(), RecordError> {
    if wrong {
        Err(RecordError::contradiction(what))
    } else {
        Ok(())
    }
}

fn need(there: bool, field: &'static str) -> Result<(), RecordError> {
    if there {
        Ok(())
    } else {
        Err(RecordError::Missing { field })
    }
}

fn check_name(field: &'static str, name: &Name) -> Result<(), RecordError> {
    limit(field, name.len(), Name::MAX_BYTES)
}

fn check_selector(selector: &Selector) -> Result<(), RecordError> {
    let (first, last) = (selector.addresses.start(), selector.addresses.end());
    refuse_if(
        first.is_ipv4() != last.is_ipv4(),
        "a traffic selector from IPv4 to IPv6",
    )?;
    refuse_if(
        selector.addresses.is_empty(),
        "a traffic selector whose first address is above its last",
    )?;
    refuse_if(
        selector.ports.is_empty() && !selector.is_opaque(),
        "a traffic selector whose first port is above its last (only 65535..=0, OPAQUE, may be)",
    )
}

/// The algorithm is of the kind that its field is for, and has keys of the length that it says.
fn check_transform(transform: Transform, kind: TransformKind) -> Result<(), RecordError> {
    refuse_if(
        transform.kind != kind,
        "an algorithm of another kind than its field",
    )?;
    refuse_if(
        transform.id == 0,
        "an algorithm with the id 0, which is reserved (or NONE: leave the field out)",
    )?;
    refuse_if(
        transform.is_known() && transform.key_bytes().is_none(),
        "a key length that the algorithm does not have",
    )
}

/// A key is as long as its algorithm takes; with one that is unknown here, of any length that fits.
fn check_key(
    field: &'static str,
    transform: Option<Transform>,
    key: &Secret,
) -> Result<(), RecordError> {
    limit(field, key.len(), Secret::MAX_BYTES)?;
    let got = key.len();
    let Some(transform) = transform else {
        return refuse_if(got > 0, "a key without an algorithm");
    };
    match transform.key_bytes() {
        Some(expected) if expected != got => Err(RecordError::KeyLength {
            field,
            transform,
            expected,
            got,
        }),
        _ => Ok(()),
    }
}

fn known(transform: Option<Transform>) -> Result<(), Unusable> {
    match transform {
        Some(transform) if !transform.is_known() => Err(Unusable::Transform(transform)),
        _ => Ok(()),
    }
}
