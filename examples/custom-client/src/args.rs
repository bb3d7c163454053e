//! The command line: `--name value` and `--flag`, in any order.

use core::fmt::Display;
use core::str::FromStr;
use std::path::PathBuf;

use thiserror::Error;

/// Arguments that were not read yet.
pub(crate) struct Args(Vec<String>);

/// Why the program ends with an error.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("{0} is missing; `custom-client help` shows how to use it")]
    Missing(String),
    #[error("`{text}` is no value for {name}: {cause}")]
    Invalid {
        name: String,
        text: String,
        cause: String,
    },
    #[error("`{0}` is not understood; `custom-client help` shows what is")]
    Surplus(String),
    #[error("cannot listen on {}: {source}; is another unit using it?", path.display())]
    Socket {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Any error whose text says enough.
    pub(crate) fn other(error: impl Display) -> Self {
        Self::Other(error.to_string())
    }
}

impl Args {
    pub(crate) fn new(words: impl Iterator<Item = String>) -> Self {
        Self(words.collect())
    }

    /// The next word that is not an option.
    pub(crate) fn word(&mut self, what: &str) -> Result<String, Error> {
        let first = self.0.first().filter(|word| !word.starts_with("--"));
        first.ok_or_else(|| Error::Missing(what.to_owned()))?;
        Ok(self.0.remove(0))
    }

    /// Whether a flag is given.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let place = self.0.iter().position(|word| word == name);
        place.map(|place| self.0.remove(place)).is_some()
    }

    /// The value of an option, if it is given.
    pub(crate) fn value<T: FromStr<Err: Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Error> {
        let Some(place) = self.0.iter().position(|word| word == name) else {
            return Ok(None);
        };
        self.0.remove(place);
        if place >= self.0.len() {
            return Err(Error::Missing(format!("the value of {name}")));
        }
        let text = self.0.remove(place);
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(cause) => Err(Error::Invalid {
                name: name.to_owned(),
                text,
                cause: format!("{cause}"),
            }),
        }
    }

    /// The value of an option that must be given.
    pub(crate) fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<T, Error> {
        self.value(name)?
            .ok_or_else(|| Error::Missing(name.to_owned()))
    }

    /// Refuses what is left.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.0
            .into_iter()
            .next()
            .map_or(Ok(()), |word| Err(Error::Surplus(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_come_in_any_order() {
        let mut args = args("unit --fast --id 7 --socket /run/x");
        assert_eq!(args.word("a command").unwrap(), "unit");
        assert_eq!(
            args.required::<PathBuf>("--socket").unwrap(),
            PathBuf::from("/run/x")
        );
        assert_eq!(args.required::<u32>("--id").unwrap(), 7);
        assert!(args.flag("--fast") && !args.flag("--fast"));
        assert_eq!(args.value::<u32>("--peer").unwrap(), None);
        assert!(args.finish().is_ok());
    }

    #[test]
    fn errors_name_the_option() {
        let error = |result: Result<u32, Error>| result.unwrap_err().to_string();
        assert!(error(args("").required("--id")).starts_with("--id is missing"));
        assert!(error(args("--id").required("--id")).starts_with("the value of --id is missing"));
        assert!(error(args("--id x").required("--id")).starts_with("`x` is no value for --id"));
        let surplus = args("--what").finish().unwrap_err().to_string();
        assert!(surplus.starts_with("`--what` is not understood"));
        assert!(args("--id 1").word("a command").is_err());
    }
}
