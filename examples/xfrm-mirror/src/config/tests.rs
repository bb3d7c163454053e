//! What is wrong with a file is said: where, and what would be right.

use std::path::{Path, PathBuf};

use ha_transport::Identity;
use tempfile::TempDir;

use super::{ConfigError, Settings};

/// A folder with the identity of this unit, and the other one's fingerprint.
struct Place {
    folder: TempDir,
    peer: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Identity::generate("unit-0")
            .unwrap()
            .save(folder.path().join("identity"))
            .unwrap();
        let peer = Identity::generate("unit-1")
            .unwrap()
            .fingerprint()
            .to_string();
        Self { folder, peer }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mirror.toml")
    }

    fn good(&self) -> String {
        format!(
            r#"[unit]
id = 0
identity = "{}"
peer = "{}"
group = 1
status_socket = "/run/xfrm-mirror.sock"

[[link]]
transport = "tcp"
local = "10.99.0.1:3249"
remote = "10.99.0.2:3249"

[mirror]
mode = "counters"
addresses = ["192.0.2.10"]

[[virtual_address]]
interface = "eth0"
address = "192.0.2.10/24"
"#,
            self.folder.path().join("identity").display(),
            self.peer
        )
    }

    fn load(&self, text: &str) -> Result<Settings, ConfigError> {
        std::fs::write(self.path(), text).unwrap();
        Settings::load(&self.path())
    }

    /// The error of the good file with one piece replaced.
    fn error(&self, from: &str, to: &str) -> String {
        let good = self.good();
        assert!(good.contains(from), "{from}");
        self.load(&good.replacen(from, to, 1))
            .unwrap_err()
            .to_string()
    }
}

#[test]
fn a_good_file_says_what_would_be_done() {
    let place = Place::new();
    let settings = place.load(&place.good()).unwrap();
    let summary = settings.summary();
    for part in [
        "unit 0 of group 1",
        "link over tcp: 10.99.0.1:3249 to 10.99.0.2:3249",
        "dead after 1000 ms",
        "an IKE daemon installs the SAs",
        "virtual address 192.0.2.10/24 on eth0",
    ] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
    let mirror = settings.mirror();
    assert_eq!(mirror.max_event_packets, 250);
    assert!(mirror.rekey_held, "strict is the default, and TCP with it");
    assert_eq!(
        settings.sad().replay_interval_outbound,
        100_000,
        "Cisco's default"
    );
}

#[test]
fn the_samples_are_good() {
    let place = Place::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut samples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "toml") {
            continue;
        }
        let identity = place.folder.path().join("identity").display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text
            .replace("/etc/xfrm-mirror/identity", &identity)
            .replace(
                "sha256:0000000000000000000000000000000000000000000000000000000000000000",
                &place.peer,
            );
        place
            .load(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        samples += 1;
    }
    assert_eq!(samples, 2);
}

#[test]
fn a_wrong_key_is_shown_with_its_line_and_a_suggestion() {
    let place = Place::new();
    let error = place.error("addresses =", "adresses =");
    assert!(error.contains("line 15"), "{error}");
    assert!(error.ends_with("did you mean `addresses`?"), "{error}");
    let error = place.error("\"counters\"", "\"counter\"");
    assert!(error.ends_with("did you mean `counters`?"), "{error}");
    let error = place.error("group = 1", "weather = 1");
    assert!(!error.contains("did you mean"), "{error}");
}

#[test]
fn wrong_values_are_refused_with_what_would_be_right() {
    let place = Place::new();
    let mirror = |line: &str| format!("mode = \"counters\"\n{line}");
    for (from, to, said) in [
        (
            "id = 0",
            "id = 2",
            "unit.id is 2; it must be within 0 and 1",
        ),
        (
            "peer = \"sha256:",
            "peer = \"sha256:zz",
            "unit.peer is no fingerprint",
        ),
        (
            "\"10.99.0.1:3249\"",
            "\"10.99.0.1\"",
            "no address with a port",
        ),
        (
            "\"10.99.0.1:3249\"",
            "\"0.0.0.0:3249\"",
            "address and port must be given",
        ),
        (
            "\"10.99.0.1:3249\"",
            "\"10.99.0.2:3249\"",
            "is the same as the remote end",
        ),
        (
            "\"10.99.0.1:3249\"",
            "\"[2001:db8::1]:3249\"",
            "different families",
        ),
        (
            "\"10.99.0.1:3249\"",
            "[\"10.99.0.1:3249\", \"10.98.0.1:3249\"]",
            "names 2 addresses; 1 to 1",
        ),
        (
            "\"tcp\"",
            "\"tcp\"\npath_retransmit = 4",
            "timers that only sctp has",
        ),
        ("[\"192.0.2.10\"]", "[]", "mirror.addresses is empty"),
        (
            "\"192.0.2.10/24\"",
            "\"192.0.2.10/33\"",
            "no address with a prefix length",
        ),
        ("\"192.0.2.10/24\"", "\"10.99.0.1/24\"", "an end of a link"),
    ] {
        let error = place.error(from, to);
        assert!(error.contains(said), "{to}: {error}");
    }
    for (line, said) in [
        (
            "budget = 1",
            "mirror.budget is 1; it must be within 1000 and",
        ),
        (
            "replay_interval_inbound = 0",
            "mirror.replay_interval_inbound is 0",
        ),
        ("event_interval_ms = 0", "mirror.event_interval_ms is 0"),
        ("max_rekeys_per_s = 0", "mirror.max_rekeys_per_s is 0"),
    ] {
        let error = place.error("mode = \"counters\"", &mirror(line));
        assert!(error.contains(said), "{line}: {error}");
    }
    let twice =
        place.good() + "[[virtual_address]]\ninterface = \"eth1\"\naddress = \"192.0.2.10/32\"\n";
    let error = place.load(&twice).unwrap_err().to_string();
    assert!(error.contains("names 192.0.2.10 again"), "{error}");
}

#[test]
fn the_scheme_is_one_of_two_and_complete() {
    let place = Place::new();
    let with = |scheme: &str| place.load(&format!("{}[scheme]\n{scheme}", place.good()));
    let settings = place.load(&place.good()).unwrap();
    assert!(
        settings
            .summary()
            .contains("the units elect the active one")
    );
    let settings = with("priority = 200\npreempt = true\nboot_wait_ms = 7000").unwrap();
    let summary = settings.summary();
    assert!(
        summary.contains("priority 200, which is preferred whenever it is ready"),
        "{summary}"
    );
    let settings = with("kind = \"static\"\nrole = \"standby\"").unwrap();
    let summary = settings.summary();
    assert!(
        summary.contains("starts standby; only commands"),
        "{summary}"
    );
    for (scheme, said) in [
        ("kind = \"static\"", "scheme.role is missing"),
        ("role = \"active\"", "write kind = \"static\""),
        (
            "kind = \"static\"\nrole = \"active\"\npreempt = true",
            "scheme.preempt is there",
        ),
        ("hold_ms = 10", "scheme cannot be: "),
        ("kind = \"statik\"", "did you mean `static`?"),
        ("preemt = true", "did you mean `preempt`?"),
    ] {
        let error = with(scheme).unwrap_err().to_string();
        assert!(error.contains(said), "{scheme}: {error}");
    }
}

#[test]
fn an_identity_that_is_missing_or_the_peers_own_is_refused() {
    let place = Place::new();
    let error = place.error("identity\"", "nothing-here\"");
    assert!(
        error.contains("the identity in") && error.contains("nothing-here"),
        "{error}"
    );
    let own = Settings::load(&place.path()).is_err();
    assert!(own);
    let settings = place.load(&place.good()).unwrap();
    let own = settings.identity.fingerprint().to_string();
    let error = place.error(&place.peer.clone(), &own);
    assert!(error.contains("this unit's own fingerprint"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Settings::load(Path::new("/nowhere/mirror.toml")).unwrap_err();
    assert!(
        error.to_string().starts_with("/nowhere/mirror.toml: "),
        "{error}"
    );
}

#[test]
fn what_only_a_restart_takes_over_is_named() {
    let place = Place::new();
    let before = place.load(&place.good()).unwrap();
    let other = place.good().replace("10.99.0.2", "10.99.0.3") + "[hooks]\nactive = \"true\"\n";
    let after = place.load(&other).unwrap();
    assert_eq!(before.differences(&after), ["link"]);
}
