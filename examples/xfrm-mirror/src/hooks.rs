//! Commands that are run when the role changes.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// What a hook is told, as environment variables.
#[derive(Clone, Debug)]
pub(crate) struct Occasion {
    /// XFRM_MIRROR_EVENT: `active`, `standby` or `peer_lost`.
    pub(crate) event: &'static str,
    /// XFRM_MIRROR_UNIT.
    pub(crate) unit: u32,
    /// XFRM_MIRROR_STATE: the state of the redundancy facility.
    pub(crate) state: String,
    /// XFRM_MIRROR_TERM.
    pub(crate) term: u64,
}

/// How a hook ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Well,
    /// With this status and output.
    Badly(String),
    TimedOut,
}

/// Starts a hook; nothing waits for it. Hooks of one occasion run beside each other.
pub(crate) fn start(command: Option<&String>, occasion: Occasion) {
    let Some(command) = command.cloned() else {
        return;
    };
    tokio::spawn(async move {
        let event = occasion.event;
        match run(&command, &occasion, LIMIT).await {
            Ended::Well => tracing::info!(event, "hook done"),
            Ended::Badly(why) => tracing::error!(event, why, "hook failed"),
            Ended::TimedOut => {
                tracing::error!(event, limit = ?LIMIT, "hook did not end in time and was killed");
            }
        }
    });
}

/// Runs a hook to its end: the last one, before the program ends.
pub(crate) async fn finish(command: Option<&String>, occasion: &Occasion) {
    if let Some(command) = command
        && let Ended::Badly(why) = run(command, occasion, LAST_LIMIT).await
    {
        tracing::error!(event = occasion.event, why, "hook failed");
    }
}

pub(crate) async fn run(command: &str, occasion: &Occasion, limit: Duration) -> Ended {
    let spawned = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .env("XFRM_MIRROR_EVENT", occasion.event)
        .env("XFRM_MIRROR_UNIT", occasion.unit.to_string())
        .env("XFRM_MIRROR_STATE", &occasion.state)
        .env("XFRM_MIRROR_TERM", occasion.term.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return Ended::Badly(format!("cannot run /bin/sh: {error}")),
    };
    let mut said = Vec::new();
    let ended = async {
        if let Some(stderr) = child.stderr.take() {
            // No more than fits into a log line; the rest is not read, and may end the hook.
            let _ = stderr.take(MAX_OUTPUT_BYTES).read_to_end(&mut said).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(limit, ended).await {
        Ok(Ok(status)) if status.success() => Ended::Well,
        Ok(Ok(status)) => {
            let said = String::from_utf8_lossy(&said);
            Ended::Badly(format!("{status}: {}", said.trim()))
        }
        Ok(Err(error)) => Ended::Badly(error.to_string()),
        Err(_) => Ended::TimedOut,
    }
}

/// The longest that a hook may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest that the last one may take.
const LAST_LIMIT: Duration = Duration::from_secs(5);
const MAX_OUTPUT_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion() -> Occasion {
        Occasion {
            event: "active",
            unit: 1,
            state: "ACTIVE".to_owned(),
            term: 7,
        }
    }

    #[tokio::test]
    async fn a_hook_is_told_what_happened() {
        let told = r#"test "$XFRM_MIRROR_EVENT $XFRM_MIRROR_UNIT $XFRM_MIRROR_STATE $XFRM_MIRROR_TERM" = "active 1 ACTIVE 7""#;
        assert_eq!(run(told, &occasion(), LIMIT).await, Ended::Well);
    }

    #[tokio::test]
    async fn a_hook_that_fails_says_why() {
        let Ended::Badly(why) = run("echo no route >&2; exit 3", &occasion(), LIMIT).await else {
            panic!("it failed");
        };
        assert!(why.contains('3') && why.ends_with("no route"), "{why}");
    }

    #[tokio::test]
    async fn a_hook_that_hangs_is_killed() {
        let limit = Duration::from_millis(20);
        let hangs = "while :; do :; done";
        assert_eq!(run(hangs, &occasion(), limit).await, Ended::TimedOut);
    }

    #[tokio::test]
    async fn output_is_bounded() {
        let talks = "yes >&2";
        let Ended::Badly(why) = run(talks, &occasion(), LIMIT).await else {
            panic!("its pipe was closed");
        };
        assert!(why.len() < 5000, "{}", why.len());
    }
}
