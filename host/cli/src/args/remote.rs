//! How a host is reached: options of every command that asks one, before or after its name.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, ValueHint};

use crate::quantity::Period;
use crate::secret::Secret;

/// Options of every command that asks a host.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Remote {
    /// Address of the host, as `https://inquisitor.example:8000`. Asked directly: proxies named in the environment are not
    /// used. [default: that of the context, else http://127.0.0.1:8000]
    #[arg(long, global = true, env = "INQUISITOR_SERVER", value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) server: Option<String>,

    /// Key to ask with. Other users of this machine can see options; prefer the environment or `--key-file`.
    #[arg(long, global = true, env = "INQUISITOR_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) key: Option<Secret>,

    /// File with the key. [default: that of the context]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key_file: Option<PathBuf>,

    /// Server and key under a name: see `inquisitor context`. [default: the one that is in use, unless a server is named]
    #[arg(long, global = true, env = "INQUISITOR_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Certificates (PEM) of the authorities to trust instead of the system's.
    #[arg(long, global = true, env = "INQUISITOR_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca_file: Option<PathBuf>,

    /// How long one answer may take, as `30s`. Uploads and streams may take longer, as long as something moves.
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s")]
    pub(crate) timeout: Period,

    /// How long to try again while the host cannot be reached or is busy; `0s`: not at all. Only what is safe to ask twice is.
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s")]
    pub(crate) retry_for: Period,
}

/// Commands that ask no host, and those below them.
const ASK_NOBODY: [&[&str]; 14] = [
    &["run"],
    &["validate"],
    &["schema"],
    &["serve"],
    &["completions"],
    &["context"],
    &["plugin", "new"],
    &["plugin", "build"],
    &["plugin", "check"],
    &["plugin", "inspect"],
    &["plugin", "call"],
    &["ledger", "verify"],
    &["backup", "verify"],
    &["backup", "restore"],
];

/// Keep the connection out of the help of commands that ask no host.
pub(crate) fn hidden_where_nobody_is_asked(command: Command) -> Command {
    ASK_NOBODY.into_iter().fold(command, hidden_below)
}

fn hidden_below(command: Command, path: &[&str]) -> Command {
    match path {
        // An option that is there already is not handed down from above.
        [] => command.args(options().map(|option| option.hide(true))),
        [first, rest @ ..] => command.mut_subcommand(*first, |below| hidden_below(below, rest)),
    }
}

fn options() -> impl Iterator<Item = clap::Arg> {
    Remote::augment_args(Command::new("")).get_arguments().cloned().collect::<Vec<_>>().into_iter()
}

impl Remote {
    /// Let what was said nearer count where two ways to say one thing came together: a context and a server, or a key and
    /// its file. And refuse what cannot have been meant.
    ///
    /// # Errors
    /// A usage error: a key and a key file, or an option of this kind to a command that asks no host.
    pub(crate) fn settle(&mut self, command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
        let said = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let from_environment = |id: &str| matches.value_source(id) == Some(ValueSource::EnvVariable);
        if said("key") && said("key_file") {
            let message = "--key and --key-file say the same: leave one out";
            return Err(command.error(ErrorKind::ArgumentConflict, message));
        }
        if said("key_file") {
            self.key = None;
        }
        if said("context") && from_environment("server") {
            self.server = None;
        }
        if said("server") && from_environment("context") {
            self.context = None;
        }
        let path = names(matches);
        if !ASK_NOBODY.iter().any(|nobody| path.starts_with(nobody)) {
            return Ok(());
        }
        let leaf = path.iter().try_fold(&*command, |above, name| above.find_subcommand(name));
        let is_its_own = |option: &clap::Arg| {
            leaf.into_iter()
                .flat_map(Command::get_arguments)
                .any(|own| own.get_id() == option.get_id() && !own.is_global_set())
        };
        match options().find(|option| said(option.get_id().as_str()) && !is_its_own(option)) {
            None => Ok(()),
            Some(option) => {
                let (name, flag) = (path.join(" "), option.get_long().unwrap_or_default());
                let message = format!("`inquisitor {name}` asks no host: leave out --{flag}");
                Err(command.error(ErrorKind::ArgumentConflict, message))
            }
        }
    }

    /// Whether a host was named for this call, so that a command that also works without one asks it.
    pub(crate) fn is_named(&self) -> bool {
        self.server.is_some() || self.context.is_some()
    }
}

/// The words of the command that was named.
fn names(matches: &ArgMatches) -> Vec<&str> {
    let first = matches.subcommand();
    std::iter::successors(first, |(_, below)| below.subcommand()).map(|(name, _)| name).collect()
}
