//! Columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::cli::escape::{one_line, shown, without_styles};

/// Blanks between columns.
const GAP: usize = 2;

/// Rows of cells that are aligned to the left. Cells may hold colours.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| one_line(&cell).into_owned()).into());
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text; columns that are empty in every row are left out.
    pub(crate) fn render(&self, indent: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| width(cell))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (cell, columns) in row.iter().zip(&widths).filter(|(_, columns)| **columns > 0) {
                line.push_str(cell);
                line.push_str(&" ".repeat(columns - width(cell) + GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Columns that a text takes on a terminal, colours not counted.
pub(crate) fn width(text: &str) -> usize {
    shown(&without_styles(text)).width()
}

/// The part of a text without colours that fits into some columns; `…` says that there is more.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    let text = &*shown(text);
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut taken = String::new();
    let mut used = 0;
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        taken.push(letter);
    }
    taken.push('…');
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::paint::Paint;

    #[test]
    fn colours_and_wide_letters_do_not_move_columns() {
        let mut table = Table::default();
        table.row([Paint::new(true).bad("no"), String::new(), "x".into()]);
        table.row(["漢字".into(), String::new(), "y".into()]);
        let text = without_styles(&table.render(1)).into_owned();
        assert_eq!(text, " no    x\n 漢字  y\n");
    }

    #[test]
    fn what_does_not_fit_is_clipped() {
        assert_eq!(clip("abcdef", 6), "abcdef");
        assert_eq!(clip("abcdefg", 6), "abcde…");
    }
}
