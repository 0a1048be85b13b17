//! The token that clients must show over TCP. It is read again, beside the loop, when a client shows one: secrets rotate.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::front::public::notices::PublicNotice;
use crate::ground::aside::Single;
use crate::ground::notice::tell;

/// How old what was read may be.
const FRESH: Duration = Duration::from_secs(1);

/// How long a client waits for a file that hangs; then the former token counts.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many characters a token has. Shorter ones can be guessed.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=4096;

/// A token.
#[derive(Clone, PartialEq, Eq)]
struct ApiToken(Vec<u8>);

/// It is never said.
impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken")
    }
}

impl ApiToken {
    /// What stands in a file, without the line end.
    fn of(text: &[u8]) -> Result<Self, String> {
        let token = text.trim_ascii();
        if !LENGTHS.contains(&token.len()) {
            return Err(format!(
                "it has {} characters, and a token has {} to {}",
                token.len(),
                LENGTHS.start(),
                LENGTHS.end()
            ));
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err("a token has letters, digits and signs of ASCII only, without blanks".to_owned());
        }
        Ok(Self(token.to_owned()))
    }

    /// Compares in a time that does not depend on where they differ. That the lengths differ is seen at once: the length is no
    /// secret.
    fn is(&self, shown: &[u8]) -> bool {
        self.0.as_slice().ct_eq(shown).into()
    }
}

#[derive(Debug)]
struct ReadToken {
    token: ApiToken,
    /// When it was read, or was tried to.
    at: Instant,
    /// Whether it was said that the file cannot be read.
    said: bool,
}

/// The file with the token, and what was read from it.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    read: Arc<Mutex<ReadToken>>,
    reading: Single,
}

impl TokenFile {
    /// Reads it for the first time.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let token = read(path)?;
        let read = ReadToken { token, at: Instant::now(), said: false };
        Ok(Self { path: path.to_owned(), read: Arc::new(Mutex::new(read)), reading: Single::default() })
    }

    /// Whether this is the token that stands in the file now.
    pub async fn admits(&self, shown: &[u8]) -> bool {
        if lock(&self.read).at.elapsed() > FRESH {
            self.read_again().await;
        }
        lock(&self.read).token.is(shown)
    }

    /// One client at a time has it read; others are answered by what is known.
    async fn read_again(&self) {
        let (path, known) = (self.path.clone(), Arc::clone(&self.read));
        let (sender, done) = oneshot::channel();
        let begun = self.reading.spawn(
            "reading the token of the API",
            move || read(&path),
            move |outcome| {
                lock(&known).take(outcome);
                let _ = sender.send(());
            },
        );
        if begun {
            let _ = timeout(PATIENCE, done).await;
        }
    }
}

impl ReadToken {
    /// A file that is being written, or is gone, is no reason to turn all clients away.
    fn take(&mut self, outcome: Result<ApiToken, Failure>) {
        self.at = Instant::now();
        match outcome {
            Ok(token) => (self.token, self.said) = (token, false),
            Err(failure) if !self.said => {
                self.said = true;
                tell(&PublicNotice::TokenNotRead { failure });
            }
            Err(_) => {}
        }
    }
}

fn lock(read: &Mutex<ReadToken>) -> MutexGuard<'_, ReadToken> {
    read.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> Result<ApiToken, Failure> {
    let failure = |code, why: String| {
        Failure::new(code, format!("reading the token of the API, {}: {why}", path.display()))
            .hint("such as `head -c 32 /dev/urandom | base64 >FILE`, readable for Clearway's user alone")
    };
    let text = std::fs::read(path).map_err(|error| failure(ExitCode::Usage, error.to_string()))?;
    ApiToken::of(&text).map_err(|why| failure(ExitCode::Usage, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "0123456789abcdef";
    const SECOND: &str = "a-second-token-of-this-test";

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = ApiToken::of(format!("{FIRST}\n").as_bytes()).unwrap();
        assert!(token.is(FIRST.as_bytes()));
        for wrong in ["", "0", "0123456789abcdeF", "0123456789abcdef0", "x123456789abcdef", "0123456789abcde"]
        {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "ApiToken");
    }

    #[test]
    fn what_can_be_guessed_or_cannot_be_sent_is_no_token() {
        for text in ["", "\n", "short", "0123456789 abcdef", "0123456789abcdef\nnext", "0123456789abcdeé"] {
            assert!(ApiToken::of(text.as_bytes()).is_err(), "{text}");
        }
        assert!(ApiToken::of(&[b'x'; 5000]).is_err());
    }

    #[test]
    fn a_new_token_counts_and_a_file_that_is_gone_leaves_the_former_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(TokenFile::read(&path).is_err());
        std::fs::write(&path, FIRST).unwrap();
        let file = TokenFile::read(&path).unwrap();
        let age = || lock(&file.read).at = Instant::now().checked_sub(2 * FRESH).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            assert!(file.admits(FIRST.as_bytes()).await);
            std::fs::write(&path, SECOND).unwrap();
            age();
            assert!(file.admits(SECOND.as_bytes()).await);
            assert!(!file.admits(FIRST.as_bytes()).await);
            std::fs::remove_file(&path).unwrap();
            age();
            assert!(file.admits(SECOND.as_bytes()).await);
            assert!(lock(&file.read).said);
        });
    }
}
