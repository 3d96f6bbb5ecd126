//! The `fhirpool` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    fhirpool_server::command::run()
}
