//! Keeps links to the peer established: one task for each path.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::clock::Clock;
use crate::backoff::Backoff;
use crate::error::LinkError;
use crate::link::Link;
use crate::transport::{Side, Transport};

/// A link that a path made.
pub(crate) struct Established {
    /// Which path, by its place in the builder's list.
    pub(crate) path: usize,
    pub(crate) link: Link,
}

/// A link that lived this long was a good one: the next attempt follows at once.
const GOOD_LIFE: Duration = Duration::from_secs(5);

/// Makes one link after the other until the node is gone.
pub(crate) async fn keep(
    path: usize,
    transport: Arc<dyn Transport>,
    side: Side,
    clock: Clock,
    links: mpsc::Sender<Established>,
) {
    let mut backoff = Backoff::default();
    let mut random = clock.now().as_nanos() ^ (path as u64) << 56;
    let mut last_error = String::new();
    loop {
        let attempt = tokio::select! {
            attempt = transport.establish(side) => attempt,
            () = links.closed() => return,
        };
        match attempt {
            Ok(link) => {
                last_error.clear();
                if serve(path, link, side, clock, &links, &mut backoff)
                    .await
                    .is_err()
                {
                    return;
                }
                if side == Side::Accept {
                    continue;
                }
            }
            Err(error) => report(&*transport, side, &error, &mut last_error),
        }
        random = random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let pause = tokio::time::sleep(backoff.next_delay(random));
        tokio::select! {
            () = pause => {}
            () = links.closed() => return,
        }
    }
}

/// Hands a link over; the dialing side waits for its end. Fails when the node is gone.
async fn serve(
    path: usize,
    link: Link,
    side: Side,
    clock: Clock,
    links: &mpsc::Sender<Established>,
    backoff: &mut Backoff,
) -> Result<(), ()> {
    let begun = clock.now();
    let watch = link.sender.clone();
    links
        .send(Established { path, link })
        .await
        .map_err(|_| ())?;
    if side == Side::Dial {
        tokio::select! {
            _ = watch.ended() => {}
            () = links.closed() => return Err(()),
        }
    }
    if clock.now().since(begun) >= GOOD_LIFE {
        backoff.reset();
    }
    Ok(())
}

/// One line for each new kind of failure, not for each attempt.
fn report(transport: &dyn Transport, side: Side, error: &LinkError, last: &mut String) {
    let text = error.to_string();
    if text == *last {
        tracing::debug!(path = transport.describe(), side = side.name(), %error, "still no link");
    } else {
        tracing::warn!(path = transport.describe(), side = side.name(), %error, "no link");
        *last = text;
    }
}
