//! The person's terminal: modes that are always undone, unseen input, pseudo-terminals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// A terminal in another mode. Dropping it brings the old one back.
#[derive(Debug)]
pub(crate) struct OtherMode<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> OtherMode<'a> {
    /// Every key goes through as it is: for a program at the other end that has its own terminal.
    ///
    /// # Errors
    /// When it is no terminal.
    pub(crate) fn raw(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        Self::change(terminal, Termios::make_raw)
    }

    /// Keys come one by one and unseen, interrupts among them; output stays as it is.
    fn unseen(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        Self::change(terminal, |mode| {
            mode.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            mode.special_codes[SpecialCodeIndex::VMIN] = 1;
            mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        })
    }

    fn change(terminal: BorrowedFd<'a>, change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(terminal)?;
        let mut mode = before.clone();
        change(&mut mode);
        rustix::termios::tcsetattr(terminal, OptionalActions::Drain, &mode)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for OtherMode<'_> {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to bring back.
        let _ = rustix::termios::tcsetattr(self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// What a person typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line.
    Line(String),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D on an empty line, or the end of the input.
    End,
}

/// Reads a line that is not shown.
///
/// # Errors
/// When the terminal cannot be read.
pub(crate) fn read_unseen() -> io::Result<Typed> {
    let stdin = rustix::stdio::stdin();
    let _mode = OtherMode::unseen(stdin)?;
    let mut keys = std::iter::from_fn(|| {
        let mut key = [0_u8];
        match rustix::io::retry_on_intr(|| rustix::io::read(stdin, &mut key)) {
            Ok(0) => None,
            Ok(_) => Some(Ok(key[0])),
            Err(error) => Some(Err(io::Error::from(error))),
        }
    });
    edit(&mut keys)
}

/// What a row of keys means: erase, kill line, interrupt, end.
fn edit(keys: &mut impl Iterator<Item = io::Result<u8>>) -> io::Result<Typed> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const BACKSPACE: u8 = 8;
    const CTRL_U: u8 = 21;
    const DELETE: u8 = 127;
    let mut line = Vec::new();
    for key in keys {
        match key? {
            b'\r' | b'\n' => return Ok(Typed::Line(String::from_utf8_lossy(&line).into_owned())),
            CTRL_C => return Ok(Typed::Interrupt),
            CTRL_D if line.is_empty() => return Ok(Typed::End),
            CTRL_U => line.clear(),
            BACKSPACE | DELETE => erase(&mut line),
            key if key >= b' ' || key == b'\t' => line.push(key),
            _ => {}
        }
    }
    Ok(Typed::End)
}

/// Takes off the last character, which may be several bytes.
fn erase(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
}

/// Reads an answer that may be seen.
///
/// # Errors
/// When the terminal cannot be read.
pub(crate) fn read_line() -> io::Result<Typed> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line)? {
        0 => Ok(Typed::End),
        _ => Ok(Typed::Line(line.trim().to_owned())),
    }
}

/// A pseudo-terminal as large as the person's.
#[derive(Debug)]
pub(crate) struct Pty {
    /// The side of the person.
    pub(crate) main: OwnedFd,
    /// The side of the program.
    pub(crate) subordinate: OwnedFd,
}

impl Pty {
    /// Makes one.
    ///
    /// # Errors
    /// When the kernel has no more of them.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let main = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&main)?;
        rustix::pty::unlockpt(&main)?;
        let name = rustix::pty::ptsname(&main, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let subordinate = rustix::fs::open(name.as_c_str(), flags, Mode::empty())?;
        Ok(Self { main, subordinate })
    }
}

/// Gives a pseudo-terminal the size of the person's.
pub(crate) fn copy_size(to: impl AsFd) {
    if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
        // A program that does not learn the new size only looks odd.
        let _ = rustix::termios::tcsetwinsize(to, size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[u8], expect: &Typed) {
        assert_eq!(&edit(&mut keys.iter().map(|key| Ok(*key))).unwrap(), expect);
    }

    #[test]
    fn an_unseen_line_can_be_corrected() {
        check(b"abc\x7f\x7fd\r", &Typed::Line("ad".into()));
        check("né\x7f\x7f\x7f\x7fo\n".as_bytes(), &Typed::Line("o".into()));
        check(b"wrong\x15right\n", &Typed::Line("right".into()));
    }

    #[test]
    fn an_unseen_line_can_be_given_up() {
        check(b"abc\x03", &Typed::Interrupt);
        check(b"\x04", &Typed::End);
        check(b"a\x04b\n", &Typed::Line("ab".into()));
        check(b"abc", &Typed::End);
    }

    #[test]
    fn a_pseudo_terminal_carries_text_both_ways() {
        let pty = Pty::open().unwrap();
        rustix::io::write(&pty.subordinate, b"hello\n").unwrap();
        let mut text = [0_u8; 16];
        let count = rustix::io::read(&pty.main, &mut text).unwrap();
        assert_eq!(&text[..count], b"hello\r\n");
    }
}
