//! Tests of identities.

use super::*;

#[test]
fn what_was_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/unit-0");
    let identity = Identity::generate("unit-0").unwrap();
    identity.save(&path).unwrap();
    let loaded = Identity::load(&path).unwrap();
    assert_eq!(loaded.fingerprint(), identity.fingerprint());
    assert_eq!(loaded.name().as_deref(), Some("unit-0"));
    assert_eq!(loaded.certificate_pem(), identity.certificate_pem());
}

#[test]
fn each_identity_is_another() {
    let (a, b) = (
        Identity::generate("unit-0").unwrap(),
        Identity::generate("unit-0").unwrap(),
    );
    assert_ne!(a.fingerprint(), b.fingerprint());
}

#[test]
fn nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let first = Identity::generate("unit-0").unwrap();
    first.save(directory.path()).unwrap();
    let second = Identity::generate("unit-0").unwrap().save(directory.path());
    assert!(matches!(second, Err(IdentityError::Exists { .. })));
    assert_eq!(
        Identity::load(directory.path()).unwrap().fingerprint(),
        first.fingerprint()
    );
}

#[cfg(unix)]
#[test]
fn the_key_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("unit-0");
    Identity::generate("unit-0").unwrap().save(&path).unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let key = path.join("key.pem");
    assert_eq!((mode(&path), mode(&key)), (0o700, 0o600));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = Identity::load(&path).unwrap_err();
    assert!(matches!(error, IdentityError::Exposed { mode: 0o640, .. }));
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn damaged_and_mixed_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Identity::load(directory.path()).unwrap_err();
    assert!(missing.to_string().contains("key.pem"), "{missing}");
    let (a, b) = (
        Identity::generate("unit-0").unwrap(),
        Identity::generate("unit-1").unwrap(),
    );
    let mixed = Identity::from_pem(Zeroizing::new(a.key_pem.to_string()), b.chain_pem.clone());
    assert!(matches!(mixed, Err(IdentityError::KeyMismatch)));
    let swapped = Identity::from_pem(Zeroizing::new(a.chain_pem.clone()), a.chain_pem.clone());
    assert!(matches!(swapped, Err(IdentityError::Key { .. })));
    let keyed = Identity::from_pem(Zeroizing::new(a.key_pem.to_string()), String::new());
    assert!(matches!(keyed, Err(IdentityError::Certificate { .. })));
}

#[test]
fn names_that_cannot_be_certified_are_refused() {
    for name in ["", "two words", "ünit", "-"] {
        assert!(
            matches!(Identity::generate(name), Err(IdentityError::Name { .. })),
            "{name}"
        );
    }
    assert!(matches!(
        PeerTrust::keys([]),
        Err(IdentityError::NothingPinned)
    ));
    assert!(matches!(
        PeerTrust::authority("", "a"),
        Err(IdentityError::Certificate { .. })
    ));
}

#[test]
fn debug_shows_no_key() {
    let identity = Identity::generate("unit-0").unwrap();
    let shown = format!("{identity:?}");
    let secret = identity.key_pem.lines().nth(1).unwrap();
    assert!(
        !shown.contains(secret) && shown.contains("sha256:"),
        "{shown}"
    );
}
