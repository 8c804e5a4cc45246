//! Addresses of content.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::Error;

const PREFIX: &str = "sha256:";

/// The address of content: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// The whole digest, with its algorithm.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Only the hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.strip_prefix(PREFIX).expect("a digest begins with its algorithm")
    }

    pub(crate) fn finish(hasher: Sha256) -> Self {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(PREFIX.len() + 64);
        text.push_str(PREFIX);
        for byte in hasher.finalize() {
            write!(text, "{byte:02x}").expect("writing to a string does not fail");
        }
        Self(text)
    }

    /// A short name for a directory: 128 bits of the digest in 26 characters. Finding a second
    /// layer with the same name means finding a second preimage of 128 bits.
    pub(crate) fn short(&self) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let number = u128::from_str_radix(&self.hex()[..32], 16).expect("digits are hexadecimal");
        (0..26)
            .rev()
            .map(|place| char::from(ALPHABET[((number >> (place * 5)) & 31) as usize]))
            .collect()
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::reference(text, reason);
        let Some(hex) = text.strip_prefix(PREFIX) else {
            return Err(refuse("a digest begins with `sha256:`"));
        };
        if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(refuse("`sha256:` is followed by 64 digits of 0 to 9 and a to f"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Hashes what is read through it.
pub(crate) struct Hashed<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Hashed<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// The digest of everything, once the rest is read too.
    pub(crate) fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(Digest::finish(self.hasher))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sha256_in_lower_case_is_a_digest() {
        let whole = Digest::of(b"").to_string();
        assert_eq!(
            whole,
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(whole.parse::<Digest>().is_ok());
        for text in ["", "sha256:", "sha512:00", &whole[..70], &whole.to_uppercase()] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert!(
            format!("sha256:{}/..{}", "0".repeat(30), "0".repeat(31)).parse::<Digest>().is_err()
        );
    }

    #[test]
    fn short_names_are_26_characters_and_differ() {
        let (one, other) = (Digest::of(b"1").short(), Digest::of(b"2").short());
        assert_eq!((one.len(), other.len()), (26, 26));
        assert_ne!(one, other);
    }
}
