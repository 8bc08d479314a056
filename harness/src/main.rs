//! The `firstlight` command. Start reading at [`firstlight::run`]; this file
//! only hands the arguments over.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    firstlight::cli::main()
}
