//! A cluster under load and faults; `cargo xtask test cluster` builds what it needs and runs it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};
use inquisitor_tests::faults::{self, Options};
use inquisitor_tests::netns::{self, Network};

/// Do faults to a cluster of three hosts while clients use it, and compare what they were told with what the members have.
#[derive(Parser)]
#[command(name = "cluster-faults")]
struct Arguments {
    /// Do the faults in turns for about so many seconds. [default: each once]
    #[arg(long, value_name = "N", conflicts_with = "short", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Do each fault once and let it last for a moment only.
    #[arg(long)]
    short: bool,
    /// Do this fault only. Repeatable.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(faults::names()))]
    fault: Vec<String>,
    /// How to print what came of it.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Folder for what the members have and log; what is in it is deleted first. Kept where something went wrong.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// A table.
    Text,
    /// One object.
    Json,
}

/// How long a fault lasts.
const LASTS: Duration = Duration::from_secs(6);
const LASTS_SHORT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let network = if netns::is_within() {
        Ok(Network::new())
    } else {
        match netns::refusal() {
            None => return within(),
            Some(why) => Err(why),
        }
    };
    if let Err(why) = &network {
        if netns::required() {
            tell(&format!("the members need a network of their own: {why}"));
            return ExitCode::FAILURE;
        }
        tell(&format!("members cannot be cut off from each other, so these faults are left out: {why}"));
    }
    if let Err(error) = prepare(&arguments.folder) {
        tell(&format!("{}: {error}", arguments.folder.display()));
        return ExitCode::FAILURE;
    }
    let options = Options {
        lasts: arguments.seconds.map(Duration::from_secs),
        fault: if arguments.short { LASTS_SHORT } else { LASTS },
        faults: arguments.fault,
        folder: arguments.folder.clone(),
    };
    let report = faults::run(&options, network, &mut tell);
    if report.is_good() {
        // Nobody needs it any more; a log that cannot be deleted does not make the run a bad one.
        let _ = std::fs::remove_dir_all(&arguments.folder);
    }
    let text = match arguments.output {
        Output::Text => report.text(),
        Output::Json => format!("{:#}\n", report.json()),
    };
    let printed = std::io::stdout().write_all(text.as_bytes());
    if report.is_good() && printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Run this program again within namespaces of its own.
fn within() -> ExitCode {
    let status = std::env::current_exe()
        .and_then(|program| netns::within(program).args(std::env::args_os().skip(1)).status());
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            tell(&format!("cannot run this program in a network of its own: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn prepare(folder: &std::path::Path) -> std::io::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)
}

/// Say what happens, beside the result.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
