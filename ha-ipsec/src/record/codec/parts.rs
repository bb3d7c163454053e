//! The messages and numbers of which records are made.

use core::net::IpAddr;

use bytes::Bytes;

use super::reader::{Field, Fields, Schema, address};
use super::writer as w;
use crate::dpd::{Backoff, DpdConfig, DpdMode};
use crate::id::Protocol;
use crate::lifetime::{Lifetime, Limits};
use crate::record::{
    Authentication, Certificate, ConfigAttribute, LinuxAttributes, MAX_SECURITY_CONTEXT, Mark,
    NatT, RecordError, Selector, Transform, TransformKind, UnknownAuthentication,
};

/// An algorithm as one number: the id above the key length. Never 0, as no id is.
pub(super) fn transform_number(transform: Option<Transform>) -> u32 {
    transform.map_or(0, |transform| {
        u32::from(transform.id) << 16 | u32::from(transform.key_bits)
    })
}

pub(super) fn transform(kind: TransformKind, field: &Field<'_>) -> Result<Transform, RecordError> {
    let number: u32 = field.small()?;
    Ok(Transform {
        kind,
        id: (number >> 16) as u16,
        key_bits: number as u16,
    })
}

pub(super) fn protocol(field: &Field<'_>) -> Result<Protocol, RecordError> {
    let number = field.uint()?;
    u8::try_from(number)
        .ok()
        .and_then(Protocol::from_number)
        .ok_or(field.unknown(number))
}

/// A mark as one number: the value above the mask.
pub(super) fn mark_number(mark: Option<Mark>) -> Option<u64> {
    mark.map(|mark| u64::from(mark.value) << 32 | u64::from(mark.mask))
}

pub(super) fn mark(field: &Field<'_>) -> Result<Mark, RecordError> {
    let number = field.some_fixed64()?;
    Ok(Mark {
        value: (number >> 32) as u32,
        mask: number as u32,
    })
}

/// Six fields from `first` on.
pub(super) fn put_lifetime(out: &mut Vec<u8>, first: u32, lifetime: &Lifetime) {
    for (number, limits) in [(first, lifetime.soft), (first + 3, lifetime.hard)] {
        w::some_uint(out, number, limits.seconds);
        w::some_uint(out, number + 1, limits.bytes);
        w::some_uint(out, number + 2, limits.packets);
    }
}

/// `index` counts from the first of the six.
pub(super) fn set_lifetime(
    lifetime: &mut Lifetime,
    index: u32,
    field: &Field<'_>,
) -> Result<(), RecordError> {
    let Lifetime { soft, hard } = lifetime;
    let limits: &mut Limits = if index < 3 { soft } else { hard };
    let limit = match index % 3 {
        0 => &mut limits.seconds,
        1 => &mut limits.bytes,
        _ => &mut limits.packets,
    };
    *limit = Some(field.some_uint()?);
    Ok(())
}

pub(super) const SELECTOR: Schema = Schema {
    names: &["addresses", "protocol", "ports"],
    repeated: &[],
};

pub(super) fn put_selectors(out: &mut Vec<u8>, number: u32, selectors: &[Selector]) {
    for selector in selectors {
        w::message(out, number, |out| put_selector(out, selector));
    }
}

fn put_selector(out: &mut Vec<u8>, selector: &Selector) {
    let mut addresses = [0; 32];
    let mut used = 0;
    for address in [selector.addresses.start(), selector.addresses.end()] {
        let (v4, v6);
        let octets: &[u8] = match address {
            IpAddr::V4(address) => {
                v4 = address.octets();
                &v4
            }
            IpAddr::V6(address) => {
                v6 = address.octets();
                &v6
            }
        };
        addresses[used..used + octets.len()].copy_from_slice(octets);
        used += octets.len();
    }
    w::bytes(out, 1, &addresses[..used]);
    w::uint(out, 2, selector.protocol);
    let ports = (*selector.ports.start(), *selector.ports.end());
    let ports = u32::from(ports.0) << 16 | u32::from(ports.1);
    w::some_fixed32(out, 3, (ports != ANY_PORT).then_some(ports));
}

const ANY_PORT: u32 = 0xffff;

fn selector(field: &Field<'_>) -> Result<Selector, RecordError> {
    let mut fields = Fields::new(field.message()?, &SELECTOR);
    let (mut addresses, mut protocol, mut ports) = (None, 0, ANY_PORT);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => addresses = Some(field.bytes(32)?),
            2 => protocol = field.small()?,
            _ => {
                ports = field.some_fixed32()?;
                if ports == ANY_PORT {
                    return Err(field.not_canonical());
                }
            }
        }
    }
    fields.finish()?;
    let addresses = addresses.ok_or(RecordError::Missing { field: "addresses" })?;
    let (first, last) = addresses.split_at(addresses.len() / 2);
    let range = address(first).zip(address(last));
    let (first, last) = range.ok_or_else(|| field.malformed())?;
    Ok(Selector {
        protocol,
        ports: (ports >> 16) as u16..=ports as u16,
        addresses: first..=last,
    })
}

pub(super) const NAT_T: Schema = Schema {
    names: &[
        "local_port",
        "remote_port",
        "original_local",
        "original_remote",
    ],
    repeated: &[],
};

pub(super) fn put_nat_t(out: &mut Vec<u8>, nat_t: &NatT) {
    w::uint(out, 1, nat_t.local_port);
    w::uint(out, 2, nat_t.remote_port);
    for (number, original) in [(3, nat_t.original_local), (4, nat_t.original_remote)] {
        if let Some(original) = original {
            w::address(out, number, original);
        }
    }
}

pub(super) fn nat_t(field: &Field<'_>) -> Result<NatT, RecordError> {
    let mut fields = Fields::new(field.message()?, &NAT_T);
    let mut nat_t = NatT::new(0, 0);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => nat_t.local_port = field.small()?,
            2 => nat_t.remote_port = field.small()?,
            3 => nat_t.original_local = Some(field.address()?),
            _ => nat_t.original_remote = Some(field.address()?),
        }
    }
    fields.finish()?;
    Ok(nat_t)
}

pub(super) const LINUX: Schema = Schema {
    names: &[
        "output_mark",
        "tfc_padding",
        "icv_bits",
        "offload_device",
        "offload_flags",
        "extra_flags",
        "care_of",
        "security_context",
    ],
    repeated: &[],
};

pub(super) fn put_linux(out: &mut Vec<u8>, linux: &LinuxAttributes) {
    w::some_fixed64(out, 1, mark_number(linux.output_mark));
    w::uint(out, 2, linux.tfc_padding);
    w::uint(out, 3, linux.icv_bits);
    w::bytes(out, 4, linux.offload_device.as_bytes());
    w::uint(out, 5, linux.offload_flags);
    w::uint(out, 6, linux.extra_flags);
    if let Some(care_of) = linux.care_of {
        w::address(out, 7, care_of);
    }
    w::bytes(out, 8, &linux.security_context);
}

pub(super) fn linux(field: &Field<'_>) -> Result<LinuxAttributes, RecordError> {
    let mut fields = Fields::new(field.message()?, &LINUX);
    let mut linux = LinuxAttributes::default();
    while let Some(field) = fields.next()? {
        match field.number {
            1 => linux.output_mark = Some(mark(&field)?),
            2 => linux.tfc_padding = field.small()?,
            3 => linux.icv_bits = field.small()?,
            4 => linux.offload_device = field.name()?,
            5 => linux.offload_flags = field.small()?,
            6 => linux.extra_flags = field.small()?,
            7 => linux.care_of = Some(field.address()?),
            _ => linux.security_context = field.copied(MAX_SECURITY_CONTEXT)?,
        }
    }
    fields.finish()?;
    Ok(linux)
}

pub(super) const DPD: Schema = Schema {
    names: &["interval_s", "retry_s", "retries", "periodic", "doubling"],
    repeated: &[],
};

pub(super) fn put_dpd(out: &mut Vec<u8>, dpd: &DpdConfig) {
    w::uint(out, 1, dpd.interval_s);
    w::uint(out, 2, dpd.retry_s);
    w::uint(out, 3, dpd.retries);
    w::uint(out, 4, u64::from(dpd.mode == DpdMode::Periodic));
    w::uint(out, 5, u64::from(dpd.backoff == Backoff::Doubling));
}

pub(super) fn dpd(field: &Field<'_>) -> Result<DpdConfig, RecordError> {
    let mut fields = Fields::new(field.message()?, &DPD);
    let mut dpd = DpdConfig {
        interval_s: 0,
        retry_s: 0,
        retries: 0,
        mode: DpdMode::OnDemand,
        backoff: Backoff::Fixed,
    };
    while let Some(field) = fields.next()? {
        match field.number {
            1 => dpd.interval_s = field.small()?,
            2 => dpd.retry_s = field.small()?,
            3 => dpd.retries = field.small()?,
            4 => dpd.mode = field.one_of(&[(1, DpdMode::Periodic)])?,
            _ => dpd.backoff = field.one_of(&[(1, Backoff::Doubling)])?,
        }
    }
    fields.finish()?;
    Ok(dpd)
}

pub(super) const ATTRIBUTE: Schema = Schema {
    names: &["kind", "value"],
    repeated: &[],
};

pub(super) fn put_attributes(out: &mut Vec<u8>, number: u32, attributes: &[ConfigAttribute]) {
    for attribute in attributes {
        w::message(out, number, |out| {
            w::uint(out, 1, attribute.kind);
            w::bytes(out, 2, &attribute.value);
        });
    }
}

pub(super) fn attribute(field: &Field<'_>) -> Result<ConfigAttribute, RecordError> {
    let mut fields = Fields::new(field.message()?, &ATTRIBUTE);
    let mut attribute = ConfigAttribute::new(0, Bytes::new());
    while let Some(field) = fields.next()? {
        match field.number {
            1 => attribute.kind = field.small()?,
            _ => attribute.value = field.copied(ConfigAttribute::MAX_BYTES)?,
        }
    }
    fields.finish()?;
    Ok(attribute)
}

pub(super) const AUTHENTICATION: Schema = Schema {
    names: &["kind", "method", "sha256", "chain"],
    repeated: &[4],
};

/// Appends how a side proved who it is; nothing if that is not known.
pub(super) fn put_authentication(out: &mut Vec<u8>, number: u32, it: &Authentication) {
    match it {
        Authentication::None => {}
        Authentication::Unknown(UnknownAuthentication(bytes)) => w::bytes(out, number, bytes),
        known => w::message(out, number, |out| put_known_authentication(out, known)),
    }
}

fn put_known_authentication(out: &mut Vec<u8>, it: &Authentication) {
    w::uint(out, 1, kind_of(it));
    match it {
        Authentication::Eap(kind) => w::uint(out, 2, *kind),
        Authentication::Certificate(certificate) => {
            w::uint(out, 2, certificate.method);
            if let Some(sha256) = &certificate.sha256 {
                w::bytes(out, 3, sha256);
            }
            for der in &certificate.chain {
                w::some_bytes(out, 4, der);
            }
        }
        _ => {}
    }
}

/// The numbers of the kinds; higher ones are a newer release's.
const fn kind_of(it: &Authentication) -> u64 {
    match it {
        Authentication::None | Authentication::Unknown(_) => 0,
        Authentication::PreSharedKey => 1,
        Authentication::Certificate(_) => 2,
        Authentication::PublicKeyEncryption => 3,
        Authentication::Eap(_) => 4,
        Authentication::Xauth => 5,
        Authentication::Null => 6,
    }
}

pub(super) fn authentication(field: &Field<'_>) -> Result<Authentication, RecordError> {
    let bytes = field.message()?;
    let mut fields = Fields::new(bytes, &AUTHENTICATION);
    let first = fields.next()?.filter(|field| field.number == 1);
    let kind = first.ok_or_else(|| field.malformed())?.uint()?;
    let it = match kind {
        1 => Authentication::PreSharedKey,
        2 => Authentication::Certificate(Box::new(certificate(&mut fields)?)),
        3 => Authentication::PublicKeyEncryption,
        4 => Authentication::Eap(match fields.next()? {
            Some(field) if field.number == 2 => field.small()?,
            Some(field) => return Err(field.malformed()),
            None => 0,
        }),
        5 => Authentication::Xauth,
        6 => Authentication::Null,
        _ => {
            let bytes = field.bytes(UnknownAuthentication::MAX_BYTES)?;
            return Ok(Authentication::Unknown(UnknownAuthentication(bytes.into())));
        }
    };
    if fields.next()?.is_some() {
        return Err(field.malformed());
    }
    fields.finish()?;
    Ok(it)
}

fn certificate(fields: &mut Fields<'_>) -> Result<Certificate, RecordError> {
    let mut certificate = Certificate::default();
    while let Some(field) = fields.next()? {
        match field.number {
            2 => certificate.method = field.small()?,
            3 => {
                let sha256 = field.bytes(32)?.try_into();
                certificate.sha256 = Some(sha256.map_err(|_| field.malformed())?);
            }
            _ => {
                let der = field.some_bytes(Certificate::MAX_DER_BYTES)?;
                push(
                    &mut certificate.chain,
                    Bytes::copy_from_slice(der),
                    field.name,
                    Certificate::MAX_CHAIN,
                )?;
            }
        }
    }
    Ok(certificate)
}

pub(super) fn push_selector(
    list: &mut Vec<Selector>,
    field: &Field<'_>,
    max: usize,
) -> Result<(), RecordError> {
    push(list, selector(field)?, field.name, max)
}

/// Adds to a list that may hold `max`. Most lists hold one element: room is made for that first.
pub(super) fn push<T>(
    list: &mut Vec<T>,
    element: T,
    field: &'static str,
    max: usize,
) -> Result<(), RecordError> {
    super::reader::limit(field, list.len() + 1, max)?;
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.push(element);
    Ok(())
}
