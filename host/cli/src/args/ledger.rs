//! `inquisitor ledger`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueHint};

/// Read and verify the ledger of a host, or of a data directory.
#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Print the checkpoint: the number of entries and the hash over all of them.
    #[command(after_help = "\
Examples:
  inquisitor ledger checkpoint --server https://inquisitor.example:8000 > noted.txt
  inquisitor ledger checkpoint --data-dir ./state")]
    Checkpoint {
        #[command(flatten)]
        source: LedgerSource,
        /// The checkpoint as it was when there were this many entries.
        #[arg(long, value_name = "ENTRIES")]
        size: Option<u64>,
    },
    /// Print every entry, one JSON document on each line, then the checkpoint.
    Export {
        #[command(flatten)]
        source: LedgerSource,
    },
    /// Print entries of a host's ledger.
    #[command(after_help = "Example:\n  inquisitor ledger entries --from 100 --limit 20")]
    Entries {
        /// The first one.
        #[arg(long, value_name = "INDEX", default_value_t = 0)]
        from: u64,
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
    },
    /// Print a proof that an entry is in a host's ledger, or that the ledger only grew.
    ///
    /// The document holds all that `ledger verify` needs: it can be given to somebody who has nothing else.
    #[command(after_help = "\
Examples:
  inquisitor ledger prove 17 > proof.json             # entry 17 is in the ledger
  inquisitor ledger prove --from 120 > growth.json    # what was there at 120 entries is still there
  inquisitor ledger verify --proof proof.json --checkpoint noted.txt")]
    Prove {
        /// Index of the entry.
        #[arg(required_unless_present = "from", conflicts_with = "from")]
        index: Option<u64>,
        /// Prove instead that the ledger of this many entries is the beginning of the later one.
        #[arg(long, value_name = "ENTRIES")]
        from: Option<u64>,
        /// The ledger to prove it for, by its number of entries. [default: the ledger as it is now]
        #[arg(long, value_name = "ENTRIES")]
        size: Option<u64>,
    },
    /// Check an export or a proof with nothing else at hand.
    ///
    /// Of an export: every entry canonical, the root as stated. Exits 0 if it is valid, 1 if it is not.
    #[command(after_help = "\
Examples:
  inquisitor ledger export --data-dir ./state > ledger.jsonl
  inquisitor ledger verify ledger.jsonl --checkpoint noted.txt
  inquisitor ledger verify --proof proof.json
  inquisitor ledger verify --consistency growth.json --checkpoint noted.txt")]
    Verify(Verify),
}

/// Where a ledger is.
#[derive(Debug, Args)]
pub(crate) struct LedgerSource {
    /// The data directory, while no host runs on it. Not looked at where a server or a context is named.
    #[arg(long, value_name = "DIR", env = "DATA_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// What to verify.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("what").required(true).args(["file", "proof", "consistency"])))]
pub(crate) struct Verify {
    /// An export; `-` reads standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// A proof that an entry is in the ledger, as `ledger prove INDEX` prints it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) proof: Option<PathBuf>,
    /// A proof that the ledger only grew, as `ledger prove --from` prints it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) consistency: Option<PathBuf>,
    /// A checkpoint that was noted down before or came another way, as `ledger checkpoint` prints it. Without one, an
    /// export or a proof that was made up as a whole looks as good as a real one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) checkpoint: Option<PathBuf>,
}
