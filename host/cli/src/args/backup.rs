//! `inquisitor backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Back a cluster up, check backups, and restore them.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    Create(Create),
    /// Check a backup, with no host at hand.
    ///
    /// Every part against its SHA-256, every ledger entry and the root over all of them, and that every blob that the state names is
    /// there. Exits 0 if it is whole, 1 if it is not.
    #[command(after_help = "\
Examples:
  inquisitor backup verify monday.tar --checkpoint noted.txt
  zstd -dc monday.tar.zst | inquisitor backup verify -")]
    Verify(Source),
    Restore(Restore),
}

/// Back up a cluster while it runs, from any of its members; or the data directory of a host that is stopped.
///
/// One file with all that was committed before, of one moment: inquiries with their reports, plugins, tenants, keys (of their
/// secrets the hashes) and the ledger. It takes an administrator's key above tenants. The file gets its name once it is whole and
/// was verified. It holds what tenants keep from each other: store it where only administrators read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  inquisitor backup create monday.tar --server https://inquisitor.example:8000
  inquisitor backup create - | zstd > monday.tar.zst
  inquisitor backup create lost.tar --data-dir /var/lib/inquisitor    # of a host that is stopped")]
pub(crate) struct Create {
    /// The file to make, which must not be there yet; `-` writes to standard output, and does not verify.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The data directory of a host that is stopped. What is in its log is applied, as its start would.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// With --data-dir: also take what the member does not know to be committed. For when the other members are lost: what was
    /// acknowledged last may be among it, and so may be what never was.
    #[arg(long, requires = "data_dir")]
    pub(crate) uncommitted: bool,
    /// Say nothing while it is made.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// A backup.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The backup; `-` reads standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// A checkpoint of the ledger that was noted before, as `ledger checkpoint` prints it. Without one, a backup that was made
    /// up as a whole looks as good as a real one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) checkpoint: Option<PathBuf>,
}

/// Restore a backup into an empty data directory. It is checked on the way as by `verify`.
///
/// The host that starts on it is a new cluster of one member, with an id of its own, so that it is never taken for the one that was
/// backed up. For three members, start this one alone, wait until it is ready, then start the others with empty directories and
/// the same RAFT_PEERS: they join it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  inquisitor backup restore monday.tar --data-dir /var/lib/inquisitor
  zstd -dc monday.tar.zst | inquisitor backup restore - --data-dir ./state")]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The directory, which must be empty or not there yet.
    #[arg(long, value_name = "DIR", env = "DATA_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: PathBuf,
    /// Say nothing while it is restored.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
