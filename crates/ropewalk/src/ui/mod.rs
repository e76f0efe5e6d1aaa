//! Everything that a person sees or types: nothing else in the program writes to the terminal.

pub(crate) mod action;
pub(crate) mod clean;
pub(crate) mod failure;
pub(crate) mod json;
pub(crate) mod paint;
pub(crate) mod printer;
pub(crate) mod prompt;
pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod time;

pub(crate) use failure::Failure;
pub(crate) use paint::Paint;
pub(crate) use printer::Printer;
pub(crate) use screen::Screen;
