//! Shows a [`Board`]: as lines that are drawn again and again on a terminal, and as one line for
//! each step everywhere else.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use wire::{DeployRef, Event, Status};

use super::board::Board;
use super::escape::shown;
use super::printer::Printer;

/// Drawings a second, at most.
const DRAWINGS_MAX: u8 = 15;

/// Shows the progress of deploys.
#[derive(Debug)]
pub(crate) struct Stage {
    printer: Printer,
    board: Board,
    drawing: Option<MultiProgress>,
    bars: Vec<ProgressBar>,
}

impl Stage {
    /// An empty one.
    pub(crate) fn new(printer: Printer) -> Self {
        let drawing = printer.is_live().then(|| {
            MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWINGS_MAX))
        });
        Self { printer, board: Board::default(), drawing, bars: Vec::new() }
    }

    /// Shows something before anything happens to it.
    pub(crate) fn expect(&mut self, deploy: &DeployRef, at: Timestamp) {
        self.board.expect(deploy, at);
    }

    /// Shows what an event changes.
    pub(crate) fn event(&mut self, event: &Event) {
        let moved = self.board.apply(event);
        match (&self.drawing, moved) {
            (None, Some(row)) => {
                self.printer.say(&self.board.step(row, event.at, self.printer.err()));
            }
            _ => self.draw(),
        }
    }

    /// Shows what only a status says.
    pub(crate) fn status(&mut self, status: &Status) {
        self.board.take_status(status);
        self.draw();
    }

    /// Shows the time that has passed.
    pub(crate) fn draw(&mut self) {
        let Some(drawing) = &self.drawing else { return };
        let style = ProgressStyle::with_template("  {msg}").expect("the template is constant");
        while self.bars.len() < self.board.rows().len() {
            let bar = ProgressBar::new_spinner().with_style(style.clone());
            self.bars.push(drawing.add(bar));
        }
        let now = Timestamp::now();
        let columns = self.printer.width();
        for (index, bar) in self.bars.iter().enumerate() {
            let line = self.board.line(index, now, columns, self.printer.err());
            bar.set_message(shown(&line).into_owned());
            bar.tick();
        }
    }

    /// Tells the person something, above what is drawn.
    pub(crate) fn say(&self, text: &str) {
        match &self.drawing {
            Some(drawing) => drawing.suspend(|| self.printer.say(text)),
            None => self.printer.say(text),
        }
    }

    /// Takes away what is drawn.
    pub(crate) fn clear(&mut self) {
        for bar in self.bars.drain(..) {
            bar.finish_and_clear();
        }
        if let Some(drawing) = &self.drawing {
            // The terminal is gone if it cannot be cleared.
            let _ = drawing.clear();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}
