//! Judges traces written by hand.

mod attributions;
mod claims;
mod common;
mod documents;
mod expectations;
mod properties;
mod verdicts;
