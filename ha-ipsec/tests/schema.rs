//! The generated messages, with which the tests of the codec compare, are what the committed schema
//! says.

use std::path::Path;

/// Generates anew and compares. `UPDATE_SCHEMA=1 cargo test -p ha-ipsec --test schema` writes.
#[test]
fn generated_messages_match_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile([root.join("proto/ipsec.proto")], [root.join("proto")]).unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schema");
    std::fs::create_dir_all(&out).unwrap();
    prost_build::Config::new()
        // Those with keys.
        .skip_debug([".ipsec.IpsecSa", ".ipsec.IkeSa"])
        .out_dir(&out)
        .compile_fds(files)
        .unwrap();
    let generated = std::fs::read_to_string(out.join("ipsec.rs")).unwrap();
    let committed = root.join("src/record/generated.rs");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let current = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        current == generated,
        "src/record/generated.rs differs from proto/ipsec.proto; \
         run UPDATE_SCHEMA=1 cargo test -p ha-ipsec --test schema"
    );
}
