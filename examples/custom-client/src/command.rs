//! The line protocol of the local socket.
//!
//! One command a line; one answer each, `OK …` or `ERR …`. Where the answer has more lines, the
//! first says how many follow: `OK 3 lines`.

use core::str::FromStr;

use thiserror::Error;

use crate::table::{Mapping, PortKey};

/// Longest line, in bytes, without its end.
pub(crate) const LINE_LIMIT: usize = 256;

/// A command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    Add(PortKey, Mapping),
    Del(PortKey),
    Get(PortKey),
    List,
    States,
    History,
    Switchover,
    Quit,
}

/// Why a line is not a command.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum CommandError {
    #[error(
        "`{0}` is no command; there are: ADD tcp|udp PORT ADDRESS:PORT OWNER [LIFETIME_S], \
         DEL tcp|udp PORT, GET tcp|udp PORT, LIST, STATES, HISTORY, SWITCHOVER, QUIT"
    )]
    Unknown(String),
    #[error("{what} is missing; usage: {usage}")]
    Missing {
        what: &'static str,
        usage: &'static str,
    },
    #[error("`{text}` is no {what}; usage: {usage}")]
    Invalid {
        what: &'static str,
        text: String,
        usage: &'static str,
    },
    #[error("`{text}` is too much; usage: {usage}")]
    Surplus { text: String, usage: &'static str },
    #[error("the owner has {0} bytes; at most {limit} are allowed", limit = Mapping::OWNER_LIMIT)]
    Owner(usize),
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, CommandError> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or_default().to_ascii_uppercase();
        let usage = match name.as_str() {
            "ADD" => "ADD tcp|udp PORT ADDRESS:PORT OWNER [LIFETIME_S]",
            "DEL" => "DEL tcp|udp PORT",
            "GET" => "GET tcp|udp PORT",
            "LIST" => "LIST",
            "STATES" => "STATES",
            "HISTORY" => "HISTORY",
            "SWITCHOVER" => "SWITCHOVER",
            "QUIT" => "QUIT",
            _ => return Err(CommandError::Unknown(name)),
        };
        let mut words = Words { words, usage };
        let command = match name.as_str() {
            "ADD" => Self::Add(words.key()?, words.mapping()?),
            "DEL" => Self::Del(words.key()?),
            "GET" => Self::Get(words.key()?),
            "LIST" => Self::List,
            "STATES" => Self::States,
            "HISTORY" => Self::History,
            "SWITCHOVER" => Self::Switchover,
            _ => Self::Quit,
        };
        words.end()?;
        Ok(command)
    }
}

/// The words after the command's name.
struct Words<'a> {
    words: core::str::SplitAsciiWhitespace<'a>,
    usage: &'static str,
}

impl<'a> Words<'a> {
    fn key(&mut self) -> Result<PortKey, CommandError> {
        Ok(PortKey {
            protocol: self.parse("protocol")?,
            port: self.parse("port")?,
        })
    }

    fn mapping(&mut self) -> Result<Mapping, CommandError> {
        let internal = self.parse("internal address")?;
        let owner = self.word("owner")?.to_owned();
        if owner.len() > Mapping::OWNER_LIMIT {
            return Err(CommandError::Owner(owner.len()));
        }
        if owner.chars().any(char::is_control) {
            return Err(self.invalid("owner", &owner.escape_default().to_string()));
        }
        let lifetime_s = match self.words.next() {
            Some(text) => self.parse_word("lifetime in seconds", text)?,
            None => 0,
        };
        Ok(Mapping {
            internal,
            owner,
            lifetime_s,
        })
    }

    fn word(&mut self, what: &'static str) -> Result<&'a str, CommandError> {
        self.words.next().ok_or(CommandError::Missing {
            what,
            usage: self.usage,
        })
    }

    fn parse<T: FromStr>(&mut self, what: &'static str) -> Result<T, CommandError> {
        let text = self.word(what)?;
        self.parse_word(what, text)
    }

    fn parse_word<T: FromStr>(&self, what: &'static str, text: &str) -> Result<T, CommandError> {
        text.parse().map_err(|_| self.invalid(what, text))
    }

    fn invalid(&self, what: &'static str, text: &str) -> CommandError {
        CommandError::Invalid {
            what,
            text: text.to_owned(),
            usage: self.usage,
        }
    }

    fn end(mut self) -> Result<(), CommandError> {
        let usage = self.usage;
        match self.words.next() {
            Some(text) => Err(CommandError::Surplus {
                text: text.to_owned(),
                usage,
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Protocol;

    const WEB: PortKey = PortKey {
        protocol: Protocol::Tcp,
        port: 8080,
    };

    fn error(line: &str) -> String {
        line.parse::<Command>().unwrap_err().to_string()
    }

    #[test]
    fn commands_are_read() {
        let mapping = |lifetime_s| Mapping {
            internal: "10.0.0.5:80".parse().unwrap(),
            owner: "alice".to_owned(),
            lifetime_s,
        };
        let forever = Command::Add(WEB, mapping(0));
        assert_eq!("ADD tcp 8080 10.0.0.5:80 alice".parse(), Ok(forever));
        let hour = Command::Add(WEB, mapping(3600));
        assert_eq!("add TCP 8080 10.0.0.5:80 alice 3600".parse(), Ok(hour));
        assert_eq!("DEL tcp 8080".parse(), Ok(Command::Del(WEB)));
        assert_eq!(" get  tcp 8080 ".parse(), Ok(Command::Get(WEB)));
        assert_eq!("LIST".parse(), Ok(Command::List));
    }

    #[test]
    fn what_is_displayed_can_be_given_back() {
        let line = "ADD udp 53 [2001:db8::1]:53 dns 60";
        let Ok(Command::Add(key, mapping)) = line.parse() else {
            panic!("not read")
        };
        assert_eq!(format!("ADD {key} {mapping}"), line);
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_is_right() {
        assert!(error("").contains("there are: ADD"));
        assert!(error("PUT x").contains("`PUT` is no command"));
        assert!(error("GET").contains("protocol is missing; usage: GET"));
        assert!(error("GET sctp 1").contains("`sctp` is no protocol"));
        assert!(error("GET tcp 65536").contains("`65536` is no port"));
        assert!(error("ADD tcp 1 10.0.0.5 x").contains("`10.0.0.5` is no internal address"));
        assert!(error("ADD tcp 1 10.0.0.5:80").contains("owner is missing"));
        assert!(error("LIST all").contains("`all` is too much"));
        let owner = "o".repeat(Mapping::OWNER_LIMIT + 1);
        assert!(error(&format!("ADD tcp 1 10.0.0.5:80 {owner}")).contains("65 bytes"));
        assert!(error("ADD tcp 1 10.0.0.5:80 \u{1b}[2J").contains("is no owner"));
    }
}
