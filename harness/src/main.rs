//! The `firstlight` command. Start reading at [`firstlight::run`]; this file
//! only hands the arguments over.

use std::process::ExitCode;

fn main() -> ExitCode {
    firstlight::cli::main()
}
