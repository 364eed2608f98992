//! Runs whole clusters of foca in this process, on sockets of 127.0.0.1, and measures what the cases in bench/cases
//! measure of tattler. The last line of its output is JSON with the same names.
mod cases;
mod identity;
mod meter;
mod options;
mod storm_handler;
mod swarm;

use std::{io, process::ExitCode};

use options::Options;
use serde_json::{Value, json};

/// As in Cargo.toml; a library cannot be asked for its version.
const VERSION: &str = "v2.0.0";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => return fail(2, &problem),
    };
    let case: fn(&Options) -> io::Result<Value> = match options.name.as_str() {
        "cluster" => cases::cluster,
        "steady" => cases::steady,
        "detect" => cases::detect,
        "storm" => cases::storm,
        other => return fail(2, &format!("there is no case {other}")),
    };
    match case(&options) {
        Ok(mut figures) => {
            figures["case"] = json!(options.name);
            figures["peer"] = json!("foca");
            figures["version"] = json!(VERSION);
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(code: u8, problem: &str) -> ExitCode {
    eprintln!("foca: {problem}");
    ExitCode::from(code)
}
