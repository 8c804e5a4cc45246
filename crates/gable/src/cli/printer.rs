//! The only place that writes to the terminal: data to stdout, everything else to stderr.

use std::io::{IsTerminal, Write};

use anstream::ColorChoice;
use serde::Serialize;

use super::args::Colour;
use super::escape::{log_line, shown, shown_json};
use super::paint::Paint;
use super::stop::Stop;

/// Width of what is not a terminal.
const DEFAULT_WIDTH: usize = 100;

/// Writes to the terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// Whether programs read stdout.
    pub(crate) json: bool,
    out: Paint,
    err: Paint,
}

impl Printer {
    /// A printer for this process's own stdout and stderr.
    pub(crate) fn new(colour: Colour, json: bool) -> Self {
        let is_on = |choice: ColorChoice| match colour {
            Colour::Auto => choice != ColorChoice::Never,
            Colour::Always => true,
            Colour::Never => false,
        };
        let paint = |choice, is_terminal| match is_terminal {
            true => Paint::new(is_on(choice)),
            false => Paint::new(is_on(choice)).whole(),
        };
        let (out, err) = (std::io::stdout(), std::io::stderr());
        Self {
            json,
            out: paint(anstream::AutoStream::choice(&out), out.is_terminal()),
            err: paint(anstream::AutoStream::choice(&err), err.is_terminal()),
        }
    }

    /// Colours for texts that go to stdout.
    pub(crate) fn out(self) -> Paint {
        self.out
    }

    /// Colours for texts that go to stderr.
    pub(crate) fn err(self) -> Paint {
        self.err
    }

    /// Writes data, whole lines.
    ///
    /// # Errors
    /// When nobody reads any more: the command ends quietly.
    pub(crate) fn data(self, text: &str) -> Result<(), Stop> {
        write_lines(&shown(text))
    }

    /// Writes the text of a file. A program gets it as it is, byte for byte.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(crate) fn file(self, text: &str) -> Result<(), Stop> {
        match std::io::stdout().is_terminal() {
            true => self.data(text),
            false => write_lines(text),
        }
    }

    /// Writes a line that a program wrote to its stdout: for a person as a line of a log, for
    /// another program as it is.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(crate) fn program_out(self, line: &str) -> Result<(), Stop> {
        match std::io::stdout().is_terminal() {
            true => self.data(&format!("{}\n", log_line(line, self.out.is_on()))),
            false => write_lines(&format!("{line}\n")),
        }
    }

    /// The same of its stderr.
    pub(crate) fn program_err(self, line: &str) {
        if std::io::stderr().is_terminal() {
            return self.say(&format!("{}\n", log_line(line, self.err.is_on())));
        }
        // Nothing sensible can be done when nobody reads stderr.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// Writes one JSON value on one line.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(crate) fn json<T: Serialize>(self, value: &T) -> Result<(), Stop> {
        let json = serde_json::to_string(value).expect("replies are plain shapes");
        write_lines(&shown_json(&json))
    }

    /// Writes a JSON value for people to look at.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(crate) fn json_pretty<T: Serialize>(self, value: &T) -> Result<(), Stop> {
        let json = serde_json::to_string_pretty(value).expect("replies are plain shapes");
        write_lines(&shown_json(&json))
    }

    /// Tells the person something, whole lines.
    pub(crate) fn say(self, text: &str) {
        let mut err = std::io::stderr().lock();
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let text = shown(text);
        // Nothing sensible can be done when nobody reads stderr.
        let _ = write!(err, "{text}{end}").and_then(|()| err.flush());
    }

    /// Writes without a line's end: a question.
    pub(crate) fn ask(self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "{}", shown(text)).and_then(|()| err.flush());
    }

    /// Whether a person sits there who can be asked.
    pub(crate) fn can_ask(self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Whether stderr can be drawn on.
    pub(crate) fn is_live(self) -> bool {
        std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Columns of the terminal.
    pub(crate) fn width(self) -> usize {
        rustix::termios::tcgetwinsize(rustix::stdio::stderr())
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|columns| *columns > 0)
            .unwrap_or(DEFAULT_WIDTH)
    }
}

/// Writes whole lines to stdout.
fn write_lines(text: &str) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{text}{end}").and_then(|()| out.flush()).map_err(|_| Stop::quiet(0))
}
