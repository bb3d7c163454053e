//! The codec is written by hand: what it knows of the fields is what the schema says.

use std::path::Path;

use super::reader::Schema;
use super::{ike, ipsec, parts, progress};

const MESSAGES: [(&str, &Schema); 9] = [
    ("IpsecSa", &ipsec::SCHEMA),
    ("IkeSa", &ike::SCHEMA),
    ("IkeProgress", &progress::SCHEMA),
    ("Selector", &parts::SELECTOR),
    ("NatT", &parts::NAT_T),
    ("LinuxAttributes", &parts::LINUX),
    ("DpdConfig", &parts::DPD),
    ("ConfigAttribute", &parts::ATTRIBUTE),
    ("Authentication", &parts::AUTHENTICATION),
];

#[test]
fn names_and_numbers_are_the_schemas() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let set = protox::compile(["ipsec.proto"], [proto]).unwrap();
    let messages = &set.file[0].message_type;
    assert_eq!(messages.len(), MESSAGES.len());
    for (name, schema) in MESSAGES {
        let message = messages.iter().find(|it| it.name() == name).unwrap();
        let names: Vec<_> = message.field.iter().map(|it| it.name()).collect();
        assert_eq!(names, schema.names, "{name}");
        let numbers: Vec<_> = message.field.iter().map(|it| it.number()).collect();
        assert!(numbers.iter().copied().eq(1..=names.len() as i32), "{name}");
        let repeated = message
            .field
            .iter()
            .filter(|it| it.label() as i32 == REPEATED);
        let repeated: Vec<_> = repeated.map(|it| it.number() as u32).collect();
        assert_eq!(repeated, schema.repeated, "{name}");
    }
}

/// google.protobuf.FieldDescriptorProto.LABEL_REPEATED.
const REPEATED: i32 = 3;
