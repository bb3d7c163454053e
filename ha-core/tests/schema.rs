//! The generated messages are what the committed schema says.

use std::path::Path;

/// Generates anew and compares. `UPDATE_SCHEMA=1 cargo test -p ha-core --test schema` writes.
#[test]
fn generated_messages_match_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile([root.join("proto/ha.proto")], [root.join("proto")]).unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schema");
    std::fs::create_dir_all(&out).unwrap();
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(&out)
        .compile_fds(files)
        .unwrap();
    let generated = std::fs::read_to_string(out.join("ha.rs")).unwrap();
    let committed = root.join("src/wire/generated.rs");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let current = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        current == generated,
        "src/wire/generated.rs differs from proto/ha.proto; \
         run UPDATE_SCHEMA=1 cargo test -p ha-core --test schema"
    );
}
