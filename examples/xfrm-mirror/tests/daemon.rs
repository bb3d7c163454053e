//! Two daemons, as processes, in a network namespace of their own: start, handover, what they refuse.
//!
//! What they do with SAs is the laboratory's matter (lab/); here no kernel needs ESP.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ha_transport::Identity;
use tempfile::TempDir;

/// Runs a test again in a new network namespace; without the privilege for one it runs nothing.
fn in_namespace(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(
            up.is_ok_and(|status| status.success()),
            "iproute2 is needed"
        );
        return test();
    }
    let inside = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stderr);
    if said.contains("Operation not permitted") {
        eprintln!("{name}: not run, since a network namespace takes root");
        return;
    }
    assert!(
        inside.status.success(),
        "{}{said}",
        String::from_utf8_lossy(&inside.stdout)
    );
}

const INSIDE: &str = "XFRM_MIRROR_TEST_INSIDE";
const LIMIT: Duration = Duration::from_secs(60);

/// A daemon and its log.
struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    fn start(config: &Path) -> Self {
        let mut child = mirror()
            .arg("--config")
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("{line}");
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a line of the log.
    fn says(&self, text: &str) {
        loop {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("never said: {text}"));
            if line.contains(text) {
                return;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    fn ends_well(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mirror() -> Command {
    Command::new(env!("CARGO_BIN_EXE_xfrm-mirror"))
}

/// The files of a pair.
fn pair(folder: &TempDir) -> [PathBuf; 2] {
    let identities = [0, 1].map(|unit| {
        let identity = Identity::generate(&format!("unit-{unit}")).unwrap();
        identity.save(folder.path().join(unit.to_string())).unwrap();
        identity.fingerprint()
    });
    [0, 1].map(|unit| {
        let root = folder.path().display();
        let text = format!(
            "[unit]\nid = {unit}\nidentity = \"{root}/{unit}\"\npeer = \"{}\"\n\
             status_socket = \"{root}/{unit}.sock\"\n\n\
             [[link]]\ntransport = \"tcp\"\nlocal = \"127.0.0.{}:3249\"\nremote = \"127.0.0.{}:3249\"\n\n\
             [mirror]\nmode = \"full\"\naddresses = [\"192.0.2.10\"]\n\n\
             [hooks]\nactive = \"echo active >> {root}/{unit}.hooks\"\n\
             standby = \"echo standby >> {root}/{unit}.hooks\"\n",
            identities[1 - unit],
            unit + 1,
            2 - unit,
        );
        let path = folder.path().join(format!("{unit}.toml"));
        std::fs::write(&path, text).unwrap();
        path
    })
}

fn asked(config: &Path, words: &[&str]) -> (bool, String) {
    let output = mirror()
        .args(words)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn a_pair_starts_hands_over_and_ends() {
    in_namespace("a_pair_starts_hands_over_and_ends", || {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = pair(&folder);
        let a = Daemon::start(&first);
        a.says("the data plane is here");
        let b = Daemon::start(&second);
        b.says("to=STANDBY HOT");

        let (_, status) = asked(&first, &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["role"], "active");
        assert_eq!(status["mode"], "full");
        let (_, states) = asked(&second, &["show", "states"]);
        assert!(states.contains("STANDBY HOT"), "{states}");
        let (done, why) = asked(&second, &["switchover"]);
        assert!(!done && why.contains("refused"), "{why}");

        // A second one with the same file is refused, and harms nobody.
        let (done, why) = asked(&first, &[]);
        assert!(!done && why.contains("another xfrm-mirror runs"), "{why}");

        let (done, said) = asked(&first, &["switchover"]);
        assert!(done, "{said}");
        b.says("the data plane is here");

        // SIGHUP: what is wrong is said, and nothing changes.
        let good = std::fs::read_to_string(&second).unwrap();
        std::fs::write(&second, good.replace("[hooks]", "[hook]")).unwrap();
        b.signal("HUP");
        b.says("the file is not taken over");
        std::fs::write(&second, &good).unwrap();
        b.signal("HUP");
        b.says("hooks and log level are those of the file");

        // SIGTERM: the role goes to the other one first.
        a.says("to=STANDBY HOT");
        b.signal("TERM");
        b.says("handed over");
        b.ends_well();
        a.says("the data plane is here");
        let hooks = std::fs::read_to_string(folder.path().join("1.hooks")).unwrap();
        assert_eq!(hooks.lines().next_back(), Some("standby"), "{hooks}");
        a.signal("TERM");
        a.ends_well();
    });
}

#[test]
fn static_roles_change_by_command_alone() {
    in_namespace("static_roles_change_by_command_alone", || {
        let folder = tempfile::tempdir().unwrap();
        let files = pair(&folder);
        for (file, role) in files.iter().zip(["active", "standby"]) {
            let text = std::fs::read_to_string(file).unwrap();
            let scheme = format!("[scheme]\nkind = \"static\"\nrole = \"{role}\"\n\n[mirror]");
            std::fs::write(file, text.replace("[mirror]", &scheme)).unwrap();
        }
        let [first, second] = files;
        let a = Daemon::start(&first);
        a.says("the data plane is here");
        let b = Daemon::start(&second);
        b.says("to=STANDBY HOT");

        // Not of a unit that is connected.
        let (done, why) = asked(&first, &["peer-fenced"]);
        assert!(!done && why.contains("connected"), "{why}");
        let (done, why) = asked(&first, &["resync"]);
        assert!(!done && why.contains("only a standby"), "{why}");
        let (done, said) = asked(&second, &["resync"]);
        assert!(done && said.contains("asked for"), "{said}");
        let (done, said) = asked(&second, &["maintenance", "on"]);
        assert!(done && said.contains("in maintenance"), "{said}");
        let (done, said) = asked(&second, &["maintenance", "off"]);
        assert!(done && said.contains("out of maintenance"), "{said}");

        // The active one dies; the standby waits for somebody who knows better.
        drop(a);
        b.says("peer lost");
        let (_, status) = asked(&second, &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["role"], "standby");
        let (done, why) = asked(&second, &["peer-fenced"]);
        assert!(!done && why.contains("not active"), "{why}");
        let (done, said) = asked(&second, &["set-role", "active"]);
        assert!(done && said.contains("active"), "{said}");
        b.says("the data plane is here");
        let (done, said) = asked(&second, &["peer-fenced"]);
        assert!(done && said.contains("are free"), "{said}");
        let (_, history) = asked(&second, &["show", "history"]);
        assert!(history.contains("user forced"), "{history}");
    });
}

#[test]
fn a_second_unit_of_the_same_id_ends() {
    in_namespace("a_second_unit_of_the_same_id_ends", || {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = pair(&folder);
        let text = std::fs::read_to_string(&second).unwrap();
        std::fs::write(&second, text.replacen("id = 1", "id = 0", 1)).unwrap();
        let a = Daemon::start(&first);
        a.says("the data plane is here");
        let mut b = Daemon::start(&second);
        b.says("the same unit.id, 0");
        assert!(!b.child.wait().unwrap().success());
        // Who served goes on.
        let (_, status) = asked(&first, &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["role"], "active");

        // Mended, the other one is a standby like any, and this one may become one.
        std::fs::write(&second, text).unwrap();
        let b = Daemon::start(&second);
        b.says("to=STANDBY HOT");
        let (done, said) = asked(&first, &["switchover"]);
        assert!(done, "{said}");
        a.says("to=STANDBY HOT");
        b.signal("TERM");
        b.ends_well();
        a.says("the data plane is here");
        a.signal("TERM");
        a.ends_well();
    });
}

#[test]
fn a_check_needs_no_privilege_and_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [first, _] = pair(&folder);
    let (done, said) = asked(&first, &["--check"]);
    assert!(
        done && said.contains("SAs, policies and counters of 192.0.2.10"),
        "{said}"
    );
    std::fs::write(&first, "[unit]\nid = 7\n").unwrap();
    let (done, said) = asked(&first, &["--check"]);
    assert!(!done && said.contains("missing field"), "{said}");
}
