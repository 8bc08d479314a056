//! `firstlight schema`: the JSON Schema of the language.

use reports::exit::Exit;

use super::{output, printed};
use crate::scenario::shape::schema;

/// Prints the schema.
pub fn run() -> Exit {
    printed(output::stdout(&schema::text()))
}
