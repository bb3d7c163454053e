//! What is shown while the laboratory works.

use core::time::Duration;
use std::io::{self, IsTerminal, Write};

use tokio::time::{Instant, interval};

/// Lines for what has happened, and on a terminal one more for what goes on.
pub(super) struct Screen {
    is_terminal: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
        }
    }

    /// Shows what has happened.
    pub(super) fn line(&self, text: &str) {
        let clear = if self.is_terminal { CLEAR } else { "" };
        show(&format!("{clear}{text}\n"));
    }

    /// Shows what goes on until it is done.
    pub(super) async fn watch<T>(&self, text: &str, work: impl Future<Output = T>) -> T {
        if !self.is_terminal {
            return work.await;
        }
        let begun = Instant::now();
        let mut ticks = interval(TICK);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => {
                    show(CLEAR);
                    return done;
                }
                _ = ticks.tick() => {
                    let seconds = begun.elapsed().as_secs_f32();
                    show(&format!("{CLEAR}  {text} {seconds:.1} s"));
                }
            }
        }
    }
}

/// Standard output may be closed; that is no reason to end.
pub(super) fn show(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

const TICK: Duration = Duration::from_millis(100);
/// To the beginning of the line, and what is on it away (ECMA-48 EL).
const CLEAR: &str = "\r\x1b[K";
