//! Judges traces written by hand.

mod attributions;
mod common;
mod documents;
mod expectations;
mod verdicts;
