//! Requests and their answers.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::netlink::Netlink;
use super::{KernelError, SocketError};
use crate::linux::xfrm::{
    Buffer, ExtendedAck, Message, NlError, Packet, Packets, Part, flag, kind,
};

/// A socket for requests. Each call returns when the kernel answered, which it does at once.
pub struct XfrmSocket {
    netlink: Netlink,
    sent: Buffer,
    sequence: u32,
    timeout_ms: u32,
}

/// How many entries a dump may have, if nothing else is said.
pub const MAX_DUMP: usize = 1 << 20;

impl XfrmSocket {
    /// A socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Without XFRM in the kernel.
    pub fn open() -> Result<Self, SocketError> {
        Ok(Self {
            netlink: Netlink::open()?,
            sent: Buffer::with_capacity(BATCH_BYTES),
            sequence: 0,
            timeout_ms: 5000,
        })
    }

    /// Sets the receive buffer, also beyond net.core.rmem_max with CAP_NET_ADMIN; returns what the
    /// kernel made of it, in bytes (twice as much, for its own bookkeeping).
    ///
    /// # Errors
    /// What the system says.
    pub fn set_receive_buffer(&mut self, bytes: usize) -> Result<usize, SocketError> {
        self.netlink.set_receive_buffer(bytes)
    }

    /// Sends a request and waits for its acknowledgement.
    ///
    /// # Errors
    /// If the kernel refuses it, or cannot be asked.
    pub fn execute(&mut self, request: Message) -> Result<(), SocketError> {
        let mut results = self.execute_all([request])?;
        match results.pop() {
            Some(result) => Ok(result?),
            None => Ok(()),
        }
    }

    /// Sends many requests, as many as fit into a datagram at a time, and waits until all are
    /// carried out: for thousands of NEWSA or NEWAE. The results are in the order of the
    /// requests; one that is refused does not keep the next ones back.
    ///
    /// # Errors
    /// If the kernel cannot be asked, or a request cannot be written; how many were executed is then
    /// unknown.
    pub fn execute_all(
        &mut self,
        requests: impl IntoIterator<Item = Message>,
    ) -> Result<Vec<Result<(), KernelError>>, SocketError> {
        let mut results = Vec::new();
        let mut kinds = Vec::with_capacity(BATCH);
        let mut requests = requests.into_iter().peekable();
        while let Some(request) = requests.next() {
            self.sequence = self.sequence.wrapping_add(1);
            kinds.push(request.kind());
            let is_last = requests.peek().is_none()
                || kinds.len() == BATCH
                || self.sent.len() >= BATCH_BYTES / 2;
            // Refusals come anyhow. An acknowledgement costs the kernel a datagram, and this a call.
            self.append(request, if is_last { flag::ACK } else { 0 })?;
            if is_last {
                self.flush(&mut kinds, &mut results)?;
            }
        }
        Ok(results)
    }

    /// Sends a request that is answered by a message: GETSA of one SA, GETPOLICY of one policy, GETAE,
    /// ALLOCSPI, GETSADINFO.
    ///
    /// # Errors
    /// If the kernel refuses it, or cannot be asked.
    pub fn get(&mut self, request: Message) -> Result<Message, SocketError> {
        let kind = request.kind();
        self.send(request, 0)?;
        loop {
            match self.receive()?.into_iter().next().map(|it| it.message) {
                Some(Message::Error(error)) => return Err(refusal(kind, &error)),
                Some(message) => return Ok(message),
                // A late answer to an earlier request.
                None => {}
            }
        }
    }

    /// All entries that a [`DumpSa`](Message::DumpSa) or [`DumpPolicy`](Message::DumpPolicy) asks for,
    /// at most [`MAX_DUMP`]. Begins anew if it was interrupted.
    ///
    /// # Errors
    /// If the kernel refuses it, cannot be asked, or holds too many.
    pub fn dump(&mut self, request: &Message) -> Result<Vec<Message>, SocketError> {
        self.dump_at_most(request, MAX_DUMP)
    }

    /// [`dump`](Self::dump) with another limit.
    ///
    /// # Errors
    /// As there.
    pub fn dump_at_most(
        &mut self,
        request: &Message,
        allowed: usize,
    ) -> Result<Vec<Message>, SocketError> {
        for _ in 0..DUMP_TRIES {
            if let Some(entries) = self.dump_once(request.clone(), allowed)? {
                return Ok(entries);
            }
        }
        Err(SocketError::Interrupted { tries: DUMP_TRIES })
    }

    /// `None` if it was interrupted.
    fn dump_once(
        &mut self,
        request: Message,
        allowed: usize,
    ) -> Result<Option<Vec<Message>>, SocketError> {
        let kind = request.kind();
        self.send(request, flag::DUMP)?;
        let (mut entries, mut count, mut interrupted) = (Vec::new(), 0_usize, false);
        loop {
            for packet in self.receive()? {
                interrupted |= packet.flags & flag::DUMP_INTR != 0;
                match packet.message {
                    Message::Error(error) => return Err(refusal(kind, &error)),
                    Message::Done(code, ack) => {
                        check_done(kind, code, ack)?;
                        if count > allowed {
                            return Err(SocketError::TooMany { allowed });
                        }
                        return Ok((!interrupted).then_some(entries));
                    }
                    // The rest is read all the same: the kernel does not begin another dump before.
                    message => {
                        count += 1;
                        if count <= allowed {
                            entries.push(message);
                        }
                    }
                }
            }
        }
    }

    fn send(&mut self, request: Message, flags: u16) -> Result<(), SocketError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.append(request, flags)?;
        self.send_appended()
    }

    fn append(&mut self, message: Message, flags: u16) -> Result<(), SocketError> {
        // xfrm_new_ae: without NLM_F_REPLACE it is refused.
        let replace = match message {
            Message::NewAsyncEvent(_) => flag::REPLACE,
            _ => 0,
        };
        let packet = Packet {
            flags: flag::REQUEST | flags | replace,
            sequence: self.sequence,
            port: 0,
            message,
        };
        let appended = packet.encode(&mut self.sent);
        if appended.is_err() {
            self.sent.clear();
        }
        Ok(appended?)
    }

    fn send_appended(&mut self) -> Result<(), SocketError> {
        let sent = self.netlink.send(self.sent.as_bytes());
        self.sent.clear();
        sent
    }

    /// Sends what was appended, one request for each of `kinds`, and waits for the answer to the last,
    /// which has the current sequence number. The kernel carries them out in order: what it did not
    /// refuse by then is done.
    fn flush(
        &mut self,
        kinds: &mut Vec<u16>,
        results: &mut Vec<Result<(), KernelError>>,
    ) -> Result<(), SocketError> {
        let first = self.sequence.wrapping_sub(kinds.len() as u32 - 1);
        self.send_appended()?;
        let mut answers = vec![Ok(()); kinds.len()];
        let mut is_answered = false;
        while !is_answered {
            for packet in self.receive_from(first)? {
                let Message::Error(error) = packet.message else {
                    continue;
                };
                is_answered |= packet.sequence == self.sequence;
                let place = packet.sequence.wrapping_sub(first) as usize;
                if let (false, Some(answer), Some(kind)) =
                    (error.is_ack(), answers.get_mut(place), kinds.get(place))
                {
                    *answer = Err(KernelError::new(*kind, &error));
                }
            }
        }
        results.extend(answers);
        kinds.clear();
        Ok(())
    }

    /// The packets of the next datagram that answer the current request.
    fn receive(&mut self) -> Result<Vec<Packet>, SocketError> {
        self.receive_from(self.sequence)
    }

    /// The packets of the next datagram that answer a request from `first` on. Older ones are late
    /// answers to requests that were given up.
    fn receive_from(&mut self, first: u32) -> Result<Vec<Packet>, SocketError> {
        let span = self.sequence.wrapping_sub(first);
        loop {
            if let Some(datagram) = self.netlink.receive()? {
                let packets: Result<Vec<_>, _> = Packets::new(datagram).collect();
                self.netlink.forget();
                let mut packets = packets?;
                packets.retain(|packet| packet.sequence.wrapping_sub(first) <= span);
                return Ok(packets);
            }
            self.netlink.wait(self.timeout_ms)?;
        }
    }
}

/// Where an answer was expected.
fn refusal(request: u16, error: &NlError) -> SocketError {
    if error.is_ack() {
        let got = Part::Message(kind::ERROR);
        return SocketError::Unexpected { got };
    }
    KernelError::new(request, error).into()
}

fn check_done(kind: u16, code: i32, ack: ExtendedAck) -> Result<(), SocketError> {
    if code >= 0 {
        return Ok(());
    }
    Err(SocketError::Kernel(KernelError {
        request: Part::Message(kind),
        errno: code.saturating_neg(),
        text: ack.text(),
        offset: ack.offset(),
    }))
}

impl AsFd for XfrmSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}

impl AsRawFd for XfrmSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.netlink.as_raw_fd()
    }
}

/// Requests in a datagram: if all are refused, the answers, at most 1 KiB each to the kernel's accounting,
/// stay below the default receive buffer of 208 KiB.
const BATCH: usize = 64;
/// Bytes of a datagram of requests, about; the default send buffer is 208 KiB.
const BATCH_BYTES: usize = 64 * 1024;
const DUMP_TRIES: u32 = 8;
