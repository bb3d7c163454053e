//! Any record comes back as it was, and any protobuf library reads it alike.

use core::fmt::Debug;

use ha_core::checkpoint::Record;
use ha_ipsec::record::{IkeSa, IpsecSa};
use proptest::prelude::*;
use prost::Message;

use super::{decode, encode, pb, samples, strategies};

/// Decodes, encodes again, and has the generated code read and write the same bytes.
fn check<R: Record + PartialEq + Debug, M: Message + Default>(
    record: &R,
) -> Result<(), TestCaseError> {
    let bytes = encode(record);
    prop_assert!(bytes.len() <= record.encoded_len_bound().unwrap());
    let again: R = decode(&bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&again, record);
    prop_assert_eq!(encode(&again), bytes.clone());
    let message = M::decode(&bytes[..]).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(message.encode_to_vec(), bytes);
    Ok(())
}

proptest! {
    #[test]
    fn ipsec_sas(sa in strategies::ipsec_sa()) {
        prop_assert_eq!(sa.check(), Ok(()));
        check::<_, pb::IpsecSa>(&sa)?;
        let per_byte = 12;
        prop_assert!(sa.heap_bytes() <= 256 + per_byte * encode(&sa).len());
    }

    #[test]
    fn ike_sas(sa in strategies::ike_sa()) {
        prop_assert_eq!(sa.check(), Ok(()));
        check::<_, pb::IkeSa>(&sa)?;
    }

    #[test]
    fn ike_progress(progress in strategies::progress()) {
        check::<_, pb::IkeProgress>(&progress)?;
    }
}

/// The generated code finds in each field what was put there.
#[test]
fn fields_are_where_the_schema_says() {
    let sa = samples::full_transport();
    let message = pb::IpsecSa::decode(&encode(&sa)[..]).unwrap();
    assert_eq!((message.spi, message.protocol), (256, 50));
    assert_eq!(message.direction(), pb::Direction::Inbound);
    assert_eq!(message.mode(), pb::Mode::Transport);
    assert_eq!(message.policy(), pb::InboundPolicy::PeerSync);
    assert_eq!(message.isolated(), pb::Isolated::Freeze);
    assert_eq!(
        (message.ike_initiator, message.pair_spi),
        (samples::IKE.initiator, 257)
    );
    assert_eq!(
        (message.encryption, message.integrity),
        (12 << 16 | 256, 12 << 16)
    );
    assert_eq!(message.encryption_key, sa.keys.encryption.expose());
    assert_eq!(message.integrity_key, sa.keys.integrity.expose());
    assert_eq!(
        (message.window, message.budget, message.instance),
        (4096, 1, 7)
    );
    assert_eq!(
        (message.soft_packets, message.hard_packets),
        (Some(0), Some(u64::MAX))
    );
    assert_eq!((message.local.len(), message.remote.len()), (2, 1));
    assert_eq!(message.remote[0].ports, Some(0xffff_0000));
    assert_eq!((message.mark, message.path_mtu), (Some(0), Some(0)));
    assert_eq!(message.nat_t.unwrap().remote_port, 61_234);
    assert_eq!(message.linux.unwrap().offload_device, "eth0");
}

#[test]
fn fields_of_ike_sas_are_where_the_schema_says() {
    let message = pb::IkeSa::decode(&encode(&samples::ikev2())[..]).unwrap();
    assert_eq!(
        (message.version, message.role()),
        (2, pb::IkeRole::Responder)
    );
    assert_eq!(message.state(), pb::IkeState::Ready);
    assert_eq!((message.local_port, message.remote_port), (4500, 61_234));
    assert_eq!(message.remote_id, b"alice@example.com");
    assert_eq!((message.prf, message.group), (5 << 16, 19));
    assert_eq!(
        (message.sk_d.len(), message.sk_er.len(), message.sk_pr.len()),
        (32, 36, 32)
    );
    assert_eq!(message.reauthenticate_unix_s, Some(1_764_100_000));
    assert_eq!(message.dpd.unwrap().retries, 5);
    assert_eq!(message.profile, "ra-profile");
    let message = pb::IkeSa::decode(&encode(&samples::ikev1())[..]).unwrap();
    assert_eq!(message.state(), pb::IkeState::QmIdle);
    assert_eq!(
        (message.skeyid[0], message.skeyid_e[0], message.iv[0]),
        (0x10, 0x70, 0x90)
    );
}

/// What a million of them cost; the figures are in the documentation of the records.
#[test]
fn records_are_small_in_memory() {
    assert!(size_of::<IpsecSa>() <= 408, "{}", size_of::<IpsecSa>());
    assert!(size_of::<IkeSa>() <= 700, "{}", size_of::<IkeSa>());
    let sa: IpsecSa = decode(&encode(&samples::gcm_tunnel())).unwrap();
    assert!(sa.heap_bytes() <= 112, "{}", sa.heap_bytes());
}
