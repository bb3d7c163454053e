//! What is wrong with a file.

use std::path::{Path, PathBuf};

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    #[error("{}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The text says line and column, and shows the line.
    #[error("{}: {text}", path.display())]
    Syntax { path: PathBuf, text: String },
    #[error("{}: {key} {problem}", path.display())]
    Value {
        path: PathBuf,
        key: String,
        problem: String,
    },
    #[error("{}: the identity in {}: {cause}", path.display(), folder.display())]
    Identity {
        path: PathBuf,
        folder: PathBuf,
        cause: String,
    },
}

impl ConfigError {
    /// With a suggestion for a key that is not known.
    pub(super) fn syntax(path: &Path, error: &toml::de::Error) -> Self {
        let mut text = error.to_string();
        if let Some(hint) = suggestion(error.message()) {
            text = format!("{}\n{hint}", text.trim_end());
        }
        Self::Syntax {
            path: path.to_owned(),
            text,
        }
    }
}

/// From "unknown field `a`, expected one of `b`, `c`": which of them was meant.
fn suggestion(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next().filter(|_| {
        message.starts_with("unknown field") || message.starts_with("unknown variant")
    })?;
    let distance = |known: &&str| strsim::damerau_levenshtein(wrong, known);
    let nearest = quoted.min_by_key(distance)?;
    // One letter in three may be wrong.
    (distance(&nearest) <= 1 + wrong.len() / 3).then(|| format!("did you mean `{nearest}`?"))
}
