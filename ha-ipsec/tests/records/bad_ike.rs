//! IKE SAs that contradict themselves, refused at insertion and at decoding.

use std::net::{SocketAddr, SocketAddrV6};

use bytes::Bytes;
use ha_ipsec::dpd::DpdConfigError;
use ha_ipsec::lifetime::LifetimeError;
use ha_ipsec::record::{
    Authentication, Certificate, ConfigAttribute, Identity, IkeKeys, IkeSa, IkeState, IkeV1Keys,
    IkeV2Keys, MAX_ATTRIBUTES, MAX_USER_BYTES, Name, RecordError, Transform, Unusable,
};

use super::samples::{end, ikev1, ikev2, secret};
use super::{decode, encode, refuse};

/// The check refuses the changed record, and so does the other unit.
#[track_caller]
fn refused(mut sa: IkeSa, change: impl FnOnce(&mut IkeSa), why: &RecordError) {
    assert_eq!(sa.check(), Ok(()));
    change(&mut sa);
    assert_eq!(sa.check(), Err(why.clone()));
    refuse::<IkeSa>(&encode(&sa), why);
}

#[track_caller]
fn contradicts(sa: IkeSa, change: impl FnOnce(&mut IkeSa), what: &'static str) {
    refused(sa, change, &RecordError::Contradiction { what });
}

const fn limit(field: &'static str, got: u64, allowed: u64) -> RecordError {
    RecordError::Limit {
        field,
        got,
        allowed,
    }
}

#[test]
fn ends() {
    let what = "a local and a remote address of different families";
    contradicts(ikev1(), |it| it.local = end("[::1]:500"), what);
    let scoped = SocketAddr::V6(SocketAddrV6::new(1.into(), 500, 0, 3));
    let mut sa = ikev1();
    (sa.local, sa.remote) = (end("[::1]:500"), scoped);
    let what = "an address with a scope id or a flow label, which mean nothing to the other unit";
    assert_eq!(sa.check(), Err(RecordError::Contradiction { what }));
}

#[test]
fn versions() {
    let what = "a state of another version of IKE";
    contradicts(ikev1(), |it| it.state = IkeState::Ready, what);
    contradicts(ikev2(), |it| it.state = IkeState::QmIdle, what);
    let what = "keys of another version of IKE";
    let mut keys = IkeV1Keys::default();
    keys.skeyid_d = secret(1, 20);
    contradicts(ikev2(), |it| it.keys = IkeKeys::V1(keys), what);
    let mut keys = IkeV2Keys::default();
    keys.sk_d = secret(1, 20);
    contradicts(ikev1(), |it| it.keys = IkeKeys::V2(keys), what);
}

#[test]
fn an_established_sa_has_keys() {
    let field = "skeyid_d";
    let none = |it: &mut IkeSa| it.keys = IkeKeys::V1(IkeV1Keys::default());
    refused(ikev1(), none, &RecordError::Missing { field });
    let mut begun = ikev1();
    begun.state = IkeState::MmNoState;
    none(&mut begun);
    begun.id.responder = 0;
    assert_eq!(decode(&encode(&begun)), Ok(begun));
}

fn v2(sa: &mut IkeSa) -> &mut IkeV2Keys {
    match &mut sa.keys {
        IkeKeys::V2(keys) => keys,
        IkeKeys::V1(_) => panic!("an IKEv2 SA"),
    }
}

#[test]
fn key_lengths() {
    let wrong = |field, transform, expected, got| RecordError::KeyLength {
        field,
        transform,
        expected,
        got,
    };
    let why = wrong("sk_ei", Transform::AES_GCM_256, 36, 32);
    refused(ikev2(), |it| v2(it).sk_ei = secret(1, 32), &why);
    let why = wrong("sk_d", Transform::PRF_HMAC_SHA256, 32, 20);
    refused(ikev2(), |it| v2(it).sk_d = secret(1, 20), &why);
    let why = wrong("sk_pr", Transform::PRF_HMAC_SHA256, 32, 64);
    refused(ikev2(), |it| v2(it).sk_pr = secret(1, 64), &why);
    let what = "a key without an algorithm";
    contradicts(ikev2(), |it| v2(it).sk_ar = secret(1, 32), what);
    let long = |it: &mut IkeSa| {
        it.prf = Some(Transform::prf(999));
        v2(it).sk_pi = secret(1, 257);
    };
    refused(ikev2(), long, &limit("sk_pi", 257, 256));
}

#[test]
fn algorithms() {
    let what = "an integrity algorithm beside a combined mode (RFC 7296 §3.3) or in IKEv1";
    let change = |it: &mut IkeSa| it.integrity = Some(Transform::HMAC_SHA256_128);
    contradicts(ikev2(), change, what);
    contradicts(ikev1(), change, what);
    let what = "a key length that the algorithm does not have";
    contradicts(
        ikev1(),
        |it| it.encryption = Some(Transform::encryption(12, 1)),
        what,
    );
    let unknown = Transform::prf(999);
    let mut sa = ikev2();
    sa.prf = Some(unknown);
    v2(&mut sa).sk_d = secret(1, 77);
    let decoded: IkeSa = decode(&encode(&sa)).unwrap();
    assert_eq!(decoded, sa);
    assert_eq!(decoded.usable(), Err(Unusable::Transform(unknown)));
    assert_eq!(ikev1().usable(), Ok(()));
}

#[test]
fn identities_and_users() {
    let beyond = Bytes::from(vec![1; Identity::MAX_BYTES + 1]);
    let change = |it: &mut IkeSa| it.remote_identity.data = beyond;
    refused(ikev2(), change, &limit("remote_id", 2049, 2048));
    let what = "the data of an identity without its type";
    contradicts(ikev2(), |it| it.local_identity.kind = 0, what);
    let user = "x".repeat(MAX_USER_BYTES + 1);
    refused(ikev2(), |it| it.user = Some(user), &limit("user", 256, 255));
}

#[test]
fn certificates() {
    let certificate = |chain| {
        let certificate = Certificate {
            chain,
            ..Certificate::default()
        };
        move |it: &mut IkeSa| it.authentication = Authentication::Certificate(Box::new(certificate))
    };
    let der = |len| Bytes::from(vec![0x30; len]);
    let many = certificate(vec![der(1); Certificate::MAX_CHAIN + 1]);
    refused(ikev2(), many, &limit("chain", 9, 8));
    let long = certificate(vec![der(Certificate::MAX_DER_BYTES + 1)]);
    refused(ikev2(), long, &limit("chain", 16_385, 16_384));
    let mut sa = ikev2();
    certificate(vec![
        der(Certificate::MAX_DER_BYTES);
        Certificate::MAX_CHAIN
    ])(&mut sa);
    assert_eq!(decode(&encode(&sa)), Ok(sa));
}

#[test]
fn attributes() {
    let attribute = |len: usize| ConfigAttribute::new(1, vec![0; len]);
    let many = vec![attribute(0); MAX_ATTRIBUTES + 1];
    refused(
        ikev2(),
        |it| it.attributes = many,
        &limit("attributes", 65, 64),
    );
    let long = vec![attribute(ConfigAttribute::MAX_BYTES + 1)];
    refused(
        ikev2(),
        |it| it.attributes = long,
        &limit("value", 1025, 1024),
    );
}

#[test]
fn times_and_names() {
    let (unit, soft, hard) = ("seconds", 86_401, 86_400);
    let why = RecordError::Lifetime(LifetimeError::Order { unit, soft, hard });
    refused(ikev2(), |it| it.lifetime.soft.seconds = Some(soft), &why);
    let why = RecordError::Dpd(DpdConfigError {
        field: "retries",
        value: 0,
        lowest: 1,
        highest: 20,
    });
    refused(ikev2(), |it| it.dpd.retries = 0, &why);
    let long = Name::from("x".repeat(256));
    refused(
        ikev2(),
        |it| it.crypto_map = long.clone(),
        &limit("crypto_map", 256, 255),
    );
    refused(
        ikev2(),
        |it| it.profile = long.clone(),
        &limit("profile", 256, 255),
    );
}
