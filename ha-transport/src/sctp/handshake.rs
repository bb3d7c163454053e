//! Who is at the other end: one TLS handshake for each stream, and the hellos.

use std::sync::Arc;

use rustls::{ConnectionCommon, SideData};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::drive::ByteStream;
use super::streams::LaneStream;
use crate::error::LinkError;
use crate::fingerprint::Fingerprint;
use crate::hello::{self, HELLO_BYTES};
use crate::tls::{self, Credentials, lost};
use crate::transport::Side;

/// Shows that streams belong together: each end derives it from its first TLS connection and tells
/// it in the others, so that nobody can make one link of streams of several associations.
type Binding = [u8; 32];

/// A stream whose peer was checked.
struct Secured {
    stream: TlsStream<LaneStream>,
    binding: Binding,
    fingerprint: Option<Fingerprint>,
}

/// Authenticates the peer on each stream. The three handshakes run at the same time.
pub(super) async fn tls(
    [control, changes, bulk]: [LaneStream; 3],
    side: Side,
    credentials: &Credentials,
) -> Result<([TlsStream<LaneStream>; 3], Option<Fingerprint>), LinkError> {
    let (control, changes, bulk) = tokio::try_join!(
        secure(control, side, credentials),
        secure(changes, side, credentials),
        secure(bulk, side, credentials),
    )?;
    let (binding, fingerprint) = (control.binding, control.fingerprint);
    if changes.fingerprint != fingerprint || bulk.fingerprint != fingerprint {
        return Err(foreign(
            "the streams of the association have different keys",
        ));
    }
    let lanes = [control.stream, changes.stream, bulk.stream];
    Ok((hellos(lanes, side, &binding).await?, fingerprint))
}

/// The hellos alone.
pub(super) async fn plaintext(
    lanes: [LaneStream; 3],
    side: Side,
) -> Result<[LaneStream; 3], LinkError> {
    hellos(lanes, side, &Binding::default()).await
}

async fn secure(
    stream: LaneStream,
    side: Side,
    credentials: &Credentials,
) -> Result<Secured, LinkError> {
    let (stream, binding, verdict): (TlsStream<_>, _, _) = match side {
        Side::Dial => {
            let (config, verdict) = credentials.client()?;
            let connector = TlsConnector::from(Arc::new(config));
            let connected = connector.connect(credentials.server_name(), stream).await;
            let stream = connected.map_err(|error| tls::failed_handshake(&error, &verdict))?;
            let binding = binding(stream.get_ref().1)?;
            (stream.into(), binding, verdict)
        }
        Side::Accept => {
            let (config, verdict) = credentials.server()?;
            let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
            let stream = accepted.map_err(|error| tls::failed_handshake(&error, &verdict))?;
            let binding = binding(stream.get_ref().1)?;
            (stream.into(), binding, verdict)
        }
    };
    let protocol = stream.get_ref().1.alpn_protocol();
    if protocol != Some(tls::ALPN.as_bytes()) {
        return Err(tls::wrong_protocol(protocol));
    }
    Ok(Secured {
        stream,
        binding,
        fingerprint: verdict.fingerprint(),
    })
}

/// A value that only the two ends of a TLS connection know (RFC 8446, section 7.5).
fn binding<D: SideData>(connection: &ConnectionCommon<D>) -> Result<Binding, LinkError> {
    let exported = connection.export_keying_material(Binding::default(), EXPORTER, None);
    exported.map_err(|error| foreign(&error.to_string()))
}

/// The accepting end goes first, as on TCP.
async fn hellos<S: ByteStream>(
    mut lanes: [S; 3],
    side: Side,
    binding: &Binding,
) -> Result<[S; 3], LinkError> {
    let [control, changes, bulk] = &mut lanes;
    tokio::try_join!(
        exchange(control, 0, side, binding),
        exchange(changes, 1, side, binding),
        exchange(bulk, 2, side, binding),
    )?;
    Ok(lanes)
}

async fn exchange(
    stream: &mut impl ByteStream,
    lane: u8,
    side: Side,
    binding: &Binding,
) -> Result<(), LinkError> {
    if side == Side::Dial {
        read_hello(stream, lane, binding).await?;
    }
    let write = async {
        stream.write_all(&hello::hello(lane)).await?;
        stream.write_all(binding).await?;
        stream.flush().await
    };
    write.await.map_err(|error| lost(&error))?;
    if side == Side::Accept {
        read_hello(stream, lane, binding).await?;
    }
    Ok(())
}

async fn read_hello(
    stream: &mut impl ByteStream,
    lane: u8,
    binding: &Binding,
) -> Result<(), LinkError> {
    let mut seen = [0; HELLO_BYTES];
    let mut seen_binding = Binding::default();
    let read = async {
        stream.read_exact(&mut seen).await?;
        stream.read_exact(&mut seen_binding).await
    };
    read.await.map_err(|error| lost(&error))?;
    if hello::check(seen)? != lane {
        return Err(foreign("the streams of the association are mixed up"));
    }
    if seen_binding != *binding {
        return Err(foreign("the streams are of different associations"));
    }
    Ok(())
}

fn foreign(detail: &str) -> LinkError {
    LinkError::Tls {
        detail: detail.to_owned(),
        hint: "the other end is faulty, or someone interferes with the connection",
    }
}

const EXPORTER: &[u8] = b"EXPORTER-ha-sctp-streams";

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// Hellos over lanes that are joined as `order` says, with a binding at each end.
    async fn meet(order: [usize; 3], bindings: [Binding; 2]) -> [Result<(), LinkError>; 2] {
        let [a, b, c] = [(); 3].map(|()| duplex(1000));
        let near = [a.0, b.0, c.0];
        let mut far = [Some(a.1), Some(b.1), Some(c.1)];
        let far: [DuplexStream; 3] = order.map(|lane| far[lane].take().unwrap());
        let (near, far) = tokio::join!(
            hellos(near, Side::Accept, &bindings[0]),
            hellos(far, Side::Dial, &bindings[1]),
        );
        [near.map(drop), far.map(drop)]
    }

    #[tokio::test]
    async fn streams_that_belong_together_make_a_link() {
        let [near, far] = meet([0, 1, 2], [[7; 32]; 2]).await;
        assert!(near.is_ok() && far.is_ok());
    }

    #[tokio::test]
    async fn streams_that_do_not_belong_together_are_refused() {
        let [near, far] = meet([0, 2, 1], [[7; 32]; 2]).await;
        assert!(near.is_err(), "mixed up");
        assert!(far.unwrap_err().to_string().contains("mixed up"));
        let [near, far] = meet([0, 1, 2], [[7; 32], [8; 32]]).await;
        assert!(near.is_err(), "of another association");
        assert!(
            far.unwrap_err()
                .to_string()
                .contains("different associations")
        );
    }
}
