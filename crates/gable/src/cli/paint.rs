//! Colours, or none. Every text is understood without them.

use anstyle::{AnsiColor, Style};

use super::escape::STYLE_TEXT;
use super::render::clip;

/// Colours text, if colours are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    is_on: bool,
    /// Whether a person looks at it, whose lines are no longer than the terminal.
    is_cut: bool,
}

impl Paint {
    /// With colours or without.
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on, is_cut: true }
    }

    /// The same for a program, or a file: no text is shortened for it.
    pub(crate) fn whole(self) -> Self {
        Self { is_cut: false, ..self }
    }

    /// How many columns a text may have that should have so many.
    pub(crate) fn columns(self, columns: usize) -> usize {
        if self.is_cut { columns } else { usize::MAX }
    }

    /// The part of a text that fits into some columns, where they matter.
    pub(crate) fn clip(self, text: &str, columns: usize) -> String {
        clip(text, self.columns(columns))
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self::new(false)
    }

    /// Whether there are colours.
    pub(crate) fn is_on(self) -> bool {
        self.is_on
    }

    /// What a style begins with, if there are colours.
    pub(crate) fn mark(self) -> Option<&'static str> {
        self.is_on.then_some(STYLE_TEXT)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.style(Style::new().bold(), text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.style(Style::new().dimmed(), text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.style(AnsiColor::Green.on_default(), text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.style(AnsiColor::Red.on_default().bold(), text)
    }

    pub(crate) fn careful(self, text: &str) -> String {
        self.style(AnsiColor::Yellow.on_default(), text)
    }

    pub(crate) fn busy(self, text: &str) -> String {
        self.style(AnsiColor::Cyan.on_default(), text)
    }

    pub(crate) fn link(self, text: &str) -> String {
        self.style(AnsiColor::Blue.on_default().underline(), text)
    }

    /// One of several colours that tell the lines of services apart.
    pub(crate) fn nth(self, index: usize, text: &str) -> String {
        const COLOURS: [AnsiColor; 6] = [
            AnsiColor::Cyan,
            AnsiColor::Magenta,
            AnsiColor::Green,
            AnsiColor::Yellow,
            AnsiColor::Blue,
            AnsiColor::BrightCyan,
        ];
        self.style(COLOURS[index % COLOURS.len()].on_default(), text)
    }

    fn style(self, style: Style, text: &str) -> String {
        if self.is_on && !text.is_empty() {
            // What is in the text cannot pass for a style: see `escape`.
            let mark = |codes: String| codes.replace("\u{1b}[", STYLE_TEXT);
            let (begin, end) = (mark(style.to_string()), mark(format!("{style:#}")));
            format!("{begin}{text}{end}")
        } else {
            text.to_owned()
        }
    }
}
