//! As much of the Redis protocol (RESP 2) as the measures need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::suite::BenchError;

/// One connection to a Redis server.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `address`; each later read or write is bounded by a minute.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(address: SocketAddr) -> Result<Self, BenchError> {
        let connect = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(IO_BOUND))?;
            stream.set_write_timeout(Some(IO_BOUND))?;
            Ok(stream)
        };
        let stream = connect().map_err(BenchError::io(format!("connecting to {address}")))?;
        Ok(Self {
            reader: BufReader::with_capacity(64 * 1024, stream),
        })
    }

    /// Sends one command and waits for its answer: the text of a status, number or bulk string.
    ///
    /// # Errors
    /// [`BenchError::Reply`] if Redis refuses it or answers with another type.
    pub fn command(&mut self, words: &[&str]) -> Result<String, BenchError> {
        let mut request = Vec::new();
        encode(&mut request, words.iter().map(|word| word.as_bytes()));
        self.send(&request)?;
        self.reply(&words.join(" "))
    }

    /// Sends one command that gets no answer.
    ///
    /// # Errors
    /// If the connection broke.
    pub fn send_command(&mut self, words: &[&str]) -> Result<(), BenchError> {
        let mut request = Vec::new();
        encode(&mut request, words.iter().map(|word| word.as_bytes()));
        self.send(&request)
    }

    /// Sends encoded commands as they are.
    ///
    /// # Errors
    /// If the connection broke.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        self.reader
            .get_mut()
            .write_all(bytes)
            .map_err(BenchError::io("writing to redis"))
    }

    /// A second handle on the connection, to write while this one reads.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    pub fn writer(&self) -> Result<TcpStream, BenchError> {
        self.reader
            .get_ref()
            .try_clone()
            .map_err(BenchError::io("cloning a socket"))
    }

    /// Reads `count` answers, each of which must be `+OK`.
    ///
    /// # Errors
    /// [`BenchError::Reply`] with the first other answer.
    pub fn expect_ok(&mut self, count: u32) -> Result<(), BenchError> {
        let mut answer = [0; OK.len()];
        for _ in 0..count {
            self.reader
                .read_exact(&mut answer)
                .map_err(BenchError::io("reading from redis"))?;
            if answer != OK {
                let reply = String::from_utf8_lossy(&answer).into_owned();
                return Err(BenchError::Reply {
                    command: "SET".into(),
                    reply,
                });
            }
        }
        Ok(())
    }

    fn reply(&mut self, command: &str) -> Result<String, BenchError> {
        let line = self.line()?;
        let unexpected = || BenchError::Reply {
            command: command.into(),
            reply: line.clone(),
        };
        match line.split_at_checked(1) {
            Some(("+" | ":", text)) => Ok(text.to_owned()),
            Some(("$", length)) => self.bulk(length.parse().map_err(|_| unexpected())?),
            _ => Err(unexpected()),
        }
    }

    fn line(&mut self) -> Result<String, BenchError> {
        let mut line = String::new();
        self.reader
            .read_line(&mut line)
            .map_err(BenchError::io("reading from redis"))?;
        Ok(line.trim_end().to_owned())
    }

    fn bulk(&mut self, length: usize) -> Result<String, BenchError> {
        let mut text = vec![0; length + "\r\n".len()];
        self.reader
            .read_exact(&mut text)
            .map_err(BenchError::io("reading from redis"))?;
        text.truncate(length);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Appends one command to `out`.
pub fn encode<'a>(out: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    let header = |out: &mut Vec<u8>, kind: char, length: usize| {
        write!(out, "{kind}{length}\r\n").expect("writing to memory cannot fail");
    };
    header(out, '*', words.len());
    for word in words {
        header(out, '$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

const OK: [u8; 5] = *b"+OK\r\n";
const IO_BOUND: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn encodes_as_the_protocol_says() {
        let mut out = Vec::new();
        encode(&mut out, [&b"SET"[..], b"k", b""].into_iter());
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    }

    #[test]
    fn reads_each_kind_of_answer() {
        let mut client =
            answered_with(b"+PONG\r\n:42\r\n$5\r\na\r\nb!\r\n-ERR no\r\n+OK\r\n+NO\r\n");
        assert_eq!(client.reply("PING").unwrap(), "PONG");
        assert_eq!(client.reply("DBSIZE").unwrap(), "42");
        assert_eq!(client.reply("INFO").unwrap(), "a\r\nb!");
        let refused = client.reply("SET").unwrap_err().to_string();
        assert!(
            refused.contains("-ERR no") && refused.contains("SET"),
            "{refused}"
        );
        assert!(client.expect_ok(2).is_err(), "the second is not +OK");
        assert!(
            client.reply("PING").is_err(),
            "the server has closed the connection"
        );
    }

    fn answered_with(bytes: &'static [u8]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || listener.accept().unwrap().0.write_all(bytes).unwrap());
        let client = Connection::open(address).unwrap();
        server.join().unwrap();
        client
    }
}
