//! Sealing of what must not be readable in the database, and making of new secrets.
//!
//! The key is 32 random bytes in `secret.key`, mode 0600, beside the database and not in it: a
//! copy of the database alone tells nothing. A sealed value is one byte of format (1), a nonce of
//! 24 random bytes, and the ciphertext with its tag (XChaCha20-Poly1305). Its place (table, row,
//! column) is authenticated too, so that nobody can move one value to where another stood.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::rand_core::RngCore;
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::{Error, Store};

/// Name of the key file in the state directory.
pub const KEY_FILE: &str = "secret.key";

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const FORMAT: u8 = 1;
/// What the check value of a database says, and where it stands.
const CHECK: (&str, &str) = ("seal/1", "this database belongs to this key");
/// Letters of generated passwords: all may stand in a URL as they are.
const PASSWORD_LETTERS: &[u8; 62] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// 32 of 62 letters are 190 bits.
const PASSWORD_LENGTH: usize = 32;

/// A new value for `generateValue: true`: 256 random bits in base64.
#[must_use]
pub fn generate_value() -> SecretString {
    let mut bits = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *bits);
    SecretString::from(BASE64_STANDARD.encode(*bits))
}

/// A new password that needs no escaping in a URL.
#[must_use]
pub fn generate_password() -> SecretString {
    let mut password = String::with_capacity(PASSWORD_LENGTH);
    while password.len() < PASSWORD_LENGTH {
        let mut bytes = Zeroizing::new([0; PASSWORD_LENGTH]);
        OsRng.fill_bytes(&mut *bytes);
        // 62 does not divide 256: what lies above 4 × 62 would favour some letters.
        let letters = bytes.iter().filter_map(|byte| match byte {
            0..248 => Some(char::from(PASSWORD_LETTERS[usize::from(byte % 62)])),
            _ => None,
        });
        password.extend(letters.take(PASSWORD_LENGTH - password.len()));
    }
    SecretString::from(password)
}

/// A key for one purpose, made of the key beside the database: the same each time, another for each
/// label, and none tells of the others. Nothing of it is written down.
#[must_use]
pub fn derive_key(store: &Store, label: &str) -> [u8; KEY_BYTES] {
    store.sealer().derive(label)
}

/// Seals and opens values with one key.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl Sealer {
    pub(crate) fn new_random() -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        OsRng.fill_bytes(&mut *key);
        Self::with(key)
    }

    fn with(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self { cipher: XChaCha20Poly1305::new(Key::from_slice(&*key)), key }
    }

    /// HMAC-SHA256 of the label: the key is 32 random bytes, so one step is enough.
    fn derive(&self, label: &str) -> [u8; KEY_BYTES] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&*self.key)
            .expect("HMAC takes keys of every length");
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The sealer of the database in this directory. A database that nothing was sealed in yet
    /// gets a key.
    pub(crate) fn for_database(
        directory: &Path,
        connection: &mut Connection,
    ) -> Result<Self, Error> {
        let path = directory.join(KEY_FILE);
        let check = read_check(connection)?;
        let Some(check) = check else {
            if !path.exists() {
                make_key(directory, &path)?;
            }
            let sealer = read_key(&path)?;
            let standing = sealer.write_check(connection)?;
            return sealer.checked(&standing, path);
        };
        if !path.exists() {
            return Err(Error::KeyMissing(path));
        }
        read_key(&path)?.checked(&check, path)
    }

    pub(crate) fn seal(&self, place: &str, text: &str) -> Vec<u8> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload { msg: text.as_bytes(), aad: place.as_bytes() };
        let ciphertext = self
            .cipher
            .encrypt(&nonce, payload)
            .expect("only texts of 256 GiB cannot be encrypted");
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<SecretString, Error> {
        let unsealable = || Error::Unsealable(place.to_owned());
        let body = sealed.strip_prefix(&[FORMAT]).ok_or_else(unsealable)?;
        let (nonce, ciphertext) = body.split_at_checked(NONCE_BYTES).ok_or_else(unsealable)?;
        let payload = Payload { msg: ciphertext, aad: place.as_bytes() };
        let text =
            self.cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| unsealable())?;
        String::from_utf8(text).map(SecretString::from).map_err(|_| unsealable())
    }

    /// Writes the check value unless another process was faster; returns what stands.
    fn write_check(&self, connection: &mut Connection) -> Result<Vec<u8>, Error> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (place, text) = CHECK;
        transaction.execute(
            "INSERT INTO seal (id, sealed) VALUES (1, ?1) ON CONFLICT DO NOTHING",
            params![self.seal(place, text)],
        )?;
        let standing =
            transaction.query_row("SELECT sealed FROM seal WHERE id = 1", [], |row| row.get(0))?;
        transaction.commit()?;
        Ok(standing)
    }

    fn checked(self, check: &[u8], path: PathBuf) -> Result<Self, Error> {
        match self.open(CHECK.0, check) {
            Ok(text) if text.expose_secret() == CHECK.1 => Ok(self),
            _ => Err(Error::KeyForeign(path)),
        }
    }
}

fn read_check(connection: &Connection) -> Result<Option<Vec<u8>>, Error> {
    connection
        .query_row("SELECT sealed FROM seal WHERE id = 1", [], |row| row.get(0))
        .optional()
        .map_err(|error| Error::from(error).during("read the check value of the key"))
}

fn read_key(path: &Path) -> Result<Sealer, Error> {
    let failed = |source| Error::file("read the key file", path, source);
    let mut key = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    let file = File::open(path).map_err(failed)?;
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut key).map_err(failed)?;
    if key.len() != KEY_BYTES {
        return Err(Error::KeyDamaged(path.to_owned()));
    }
    let mut whole = Zeroizing::new([0; KEY_BYTES]);
    whole.copy_from_slice(&key);
    Ok(Sealer::with(whole))
}

/// Makes the key file whole or not at all, and never in place of one that is there.
fn make_key(directory: &Path, path: &Path) -> Result<(), Error> {
    let failed = |source| Error::file("make the key file", path, source);
    let temporary = directory.join(format!("{KEY_FILE}.{}", crate::new_id::new_uuid().simple()));
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    OsRng.fill_bytes(&mut *key);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed)?;
    let written = file.write_all(&*key).and_then(|()| file.sync_all());
    // A link instead of a rename: of two processes that begin together, one must win for both.
    let linked = written.and_then(|()| match std::fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(_) => std::fs::rename(&temporary, path),
        Ok(()) => Ok(()),
    });
    let _ = std::fs::remove_file(&temporary);
    linked.map_err(failed)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}
