//! `--json`: the resource as the API spells it, indented.

use std::io;

use serde::Serialize;

use crate::ui::printer::Printer;

/// Prints `value`.
///
/// # Errors
/// A value that JSON cannot spell, standard output that is gone.
pub(crate) fn print(printer: &Printer, value: &impl Serialize) -> io::Result<()> {
    printer.line(&serde_json::to_string_pretty(value)?)
}
