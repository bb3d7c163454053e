//! Logs to standard error that can never harm the unit.
//!
//! A full disk, a closed pipe or a terminal that was stopped must not stop the node: lines go
//! through a bounded queue to a thread of their own, and what cannot be written is dropped.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging. Without a thread to write them there are no logs.
pub(crate) fn start(level: LevelFilter) {
    let (lines, queue) = sync_channel(QUEUED_LINES);
    let thread = std::thread::Builder::new().name("log".to_owned());
    if thread.spawn(move || write_all(&queue)).is_err() {
        return;
    }
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        // Its report of a line that cannot be written would go to the same standard error, and
        // panic there.
        .log_internal_errors(false)
        .with_writer(Lines(lines))
        .init();
}

/// Lines that wait while standard error is slow.
const QUEUED_LINES: usize = 1024;

fn write_all(queue: &Receiver<Vec<u8>>) {
    for line in queue {
        // There is nobody left to tell of an error.
        let _ = io::stderr().write_all(&line);
    }
}

/// Makes a writer for each line.
struct Lines(SyncSender<Vec<u8>>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            queue: &self.0,
            text: Vec::new(),
        }
    }
}

/// One line; queued as a whole when it is complete.
struct Line<'a> {
    queue: &'a SyncSender<Vec<u8>>,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        // Never waits: with a full queue the line is lost.
        let _ = self.queue.try_send(core::mem::take(&mut self.text));
    }
}
