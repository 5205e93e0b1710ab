//! Commands that ask a host: inquiries, tenants, keys, status.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::quantity::{Period, Size};

/// Give an inquiry to a host.
///
/// Without `--watch` this ends as soon as the host has the inquiry for good, and prints its id. Asking again after a failure
/// never makes a second inquiry: every submission carries an idempotency key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  inquisitor submit inquiry.yaml
  inquisitor submit inquiry.yaml --watch                     # until it has ended, with its finding
  inquisitor submit nightly.yaml --idempotency-key nightly-2026-11-24
  inquisitor submit inquiry.yaml --dry-run                   # would the host take it?

Exit codes: 0 accepted, or verified with --watch; 1 error, 2 usage, 3 inconclusive, 4 falsified.")]
pub(crate) struct Submit {
    /// The manifest; `-` reads standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,

    /// Follow it until it has ended, and print its finding.
    #[arg(long, short, conflicts_with = "dry_run")]
    pub(crate) watch: bool,

    /// Say nothing while it runs.
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// A second submission under the same key is the first one. [default: one drawn for this call]
    #[arg(long, value_name = "KEY", conflicts_with = "dry_run")]
    pub(crate) idempotency_key: Option<String>,

    /// Check the manifest as the host would, and submit nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// List, watch and cancel inquiries of a host; fetch what they found.
#[derive(Debug, Args)]
pub(crate) struct InquiryArgs {
    #[command(subcommand)]
    pub(crate) command: InquiryCommand,
}

/// What to do with inquiries.
#[derive(Debug, Subcommand)]
pub(crate) enum InquiryCommand {
    List(InquiryList),
    /// Show one: its steps, and its finding if there is one.
    Show {
        /// Id of the inquiry.
        id: String,
    },
    /// Print what the ledger says of it, in order.
    #[command(after_help = "Example:\n  inquisitor inquiry events ID --follow")]
    Events {
        /// Id of the inquiry.
        id: String,
        /// Go on until it has ended, with what its instruments say.
        #[arg(long, short)]
        follow: bool,
        /// Only entries after this index of the ledger.
        #[arg(long, value_name = "INDEX")]
        after: Option<u64>,
    },
    /// Ask for it to end. One that observes continuously concludes with what it has.
    Cancel {
        /// Id of the inquiry.
        id: String,
    },
    /// Print its finding, with where in the ledger it stands.
    ///
    /// Exits 0 if it is verified, 3 if inconclusive, 4 if falsified, 1 if there is none.
    Findings {
        /// Id of the inquiry.
        id: String,
    },
    /// Print its readings, and which of them count.
    #[command(
        after_help = "Examples:\n  inquisitor inquiry readings ID --quantity temperature\n  inquisitor inquiry readings ID --csv > readings.csv"
    )]
    Readings(Readings),
    /// List its reports and charts, or fetch them.
    #[command(after_help = "Example:\n  inquisitor inquiry artifacts ID --dir ./reports")]
    Artifacts {
        /// Id of the inquiry.
        id: String,
        /// Fetch all of them into this folder.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// Print its manifest.
    Manifest {
        /// Id of the inquiry.
        id: String,
    },
}

/// List inquiries, newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  inquisitor inquiry list --state running
  inquisitor inquiry list --tag cold-chain --all -o json")]
pub(crate) struct InquiryList {
    /// Only those that are so.
    #[arg(long, value_enum)]
    pub(crate) state: Option<InquiryState>,
    /// Only those with this tag.
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Only those of this tenant.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Only those of the manifest with this id.
    #[arg(long, value_name = "ID")]
    pub(crate) manifest: Option<String>,
    /// Only those of this kind.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// How many to list at most.
    #[arg(long, value_name = "COUNT", default_value_t = 50, conflicts_with = "all", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// List all of them.
    #[arg(long)]
    pub(crate) all: bool,
}

/// How far an inquiry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InquiryState {
    /// Not ended.
    Running,
    /// Ended with a finding.
    Concluded,
    /// Ended without one.
    Aborted,
}

impl InquiryState {
    /// The word of the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Concluded => "concluded",
            Self::Aborted => "aborted",
        }
    }
}

/// Readings of an inquiry.
#[derive(Debug, Args)]
pub(crate) struct Readings {
    /// Id of the inquiry.
    pub(crate) id: String,
    /// Only those of the step of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) step: Option<String>,
    /// Only those of this instrument.
    #[arg(long, value_name = "ID")]
    pub(crate) instrument: Option<String>,
    /// Only those of this quantity.
    #[arg(long, value_name = "NAME")]
    pub(crate) quantity: Option<String>,
    /// How many to print at most. [default: 50; all with --csv]
    #[arg(long, value_name = "COUNT", conflicts_with = "csv", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Print all of them as comma-separated values.
    #[arg(long)]
    pub(crate) csv: bool,
}

/// Tenants of a host, and what they may do.
#[derive(Debug, Args)]
pub(crate) struct TenantArgs {
    #[command(subcommand)]
    pub(crate) command: TenantCommand,
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Add a tenant.
    #[command(after_help = "\
Examples:
  inquisitor tenant create lab-a --description 'Laboratory A' --submissions-per-minute 30
  inquisitor tenant create lab-b --policy policy.yaml")]
    Create(Box<TenantChange>),
    /// List tenants.
    List,
    /// Show a tenant and its policy.
    Show {
        /// Name of the tenant.
        name: String,
    },
    /// Change a tenant. What is not named stays as it is.
    #[command(after_help = "Example:\n  inquisitor tenant set lab-a --unfinished-inquiries 20")]
    Set(Box<TenantChange>),
    /// Remove a tenant, its keys and its plugins. Refused while it has inquiries that have not ended.
    Rm {
        /// Name of the tenant.
        name: String,
    },
}

/// A tenant and its policy.
#[derive(Debug, Args)]
pub(crate) struct TenantChange {
    /// Name of the tenant: lower-case letters, digits and hyphens.
    pub(crate) name: String,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// File with the policy, YAML or JSON; `-` reads standard input. Options below change what it says.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: PolicyOptions,
}

/// A policy in options. A list replaces the whole list.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyOptions {
    /// Kinds of inquiry that it may run. Repeatable.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) kinds: Option<Vec<String>>,
    /// Plugins that it may use: `name`, `name@version` or `sha256:…`. Repeatable.
    #[arg(long, value_name = "PLUGIN", value_delimiter = ',')]
    pub(crate) plugins: Option<Vec<String>>,
    /// Where its instruments may speak HTTP: `host:port`, `*` for any. Repeatable.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) allow_http: Option<Vec<String>>,
    /// Where its instruments may speak TCP: `host:port`, `*` for any. Repeatable.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) allow_tcp: Option<Vec<String>>,
    /// Folders of the host that its instruments may read. Repeatable.
    #[arg(long, value_name = "DIR", value_delimiter = ',')]
    pub(crate) allow_read: Option<Vec<String>>,
    /// Folders of the host that its instruments may read and write. Repeatable.
    #[arg(long, value_name = "DIR", value_delimiter = ',')]
    pub(crate) allow_write: Option<Vec<String>>,
    /// What file substrates may read, relative to the host's substrate folder; `.` is all of it. Repeatable.
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub(crate) substrate_files: Option<Vec<String>>,
    /// Secrets that its manifests may refer to. Repeatable.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) secrets: Option<Vec<String>>,
    /// Most memory of a call.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Size>,
    /// Most wall time of a call.
    #[arg(long, value_name = "DURATION")]
    pub(crate) wall: Option<Period>,
    /// Most instructions of a call.
    #[arg(long, value_name = "COUNT")]
    pub(crate) fuel: Option<u64>,
    /// Requests in a second.
    #[arg(long, value_name = "COUNT")]
    pub(crate) requests_per_second: Option<u32>,
    /// Requests answered at once.
    #[arg(long, value_name = "COUNT")]
    pub(crate) concurrent_requests: Option<u32>,
    /// Inquiries submitted in a minute.
    #[arg(long, value_name = "COUNT")]
    pub(crate) submissions_per_minute: Option<u32>,
    /// Inquiries that have not ended.
    #[arg(long, value_name = "COUNT")]
    pub(crate) unfinished_inquiries: Option<u32>,
    /// Plugins uploaded in an hour.
    #[arg(long, value_name = "COUNT")]
    pub(crate) uploads_per_hour: Option<u32>,
    /// Steps of one inquiry.
    #[arg(long, value_name = "COUNT")]
    pub(crate) steps: Option<u32>,
}

/// Keys of a host.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key. Its secret goes to standard output, once; the host keeps only a hash of it.
    #[command(after_help = "\
Examples:
  inquisitor key create ci --role submitter --tenant lab-a --expires-in 90d
  inquisitor key create ci --role author > ci.key && chmod 600 ci.key")]
    Create {
        /// What it is for.
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        role: RoleName,
        /// Its tenant. [default: that of the key it is made with; a key without a tenant stands above tenants]
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// When it stops working by itself, as `90d`. [default: never]
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<Period>,
    },
    /// List keys, without their secrets.
    List,
    /// Show one key.
    Show {
        /// Id of the key.
        id: String,
    },
    /// Make a key useless at once. It stays listed.
    Revoke {
        /// Id of the key.
        id: String,
    },
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Everything in its tenant; without a tenant, everything.
    Admin,
    /// Inquiries, plugins and declared manifests; no tenants and no keys.
    Operator,
    /// Submits, watches and cancels inquiries.
    Submitter,
    /// Uploads and removes plugins, and validates manifests with them.
    Author,
    /// Reads everything and changes nothing.
    Auditor,
}

/// The cluster that a host is a member of.
#[derive(Debug, Args)]
pub(crate) struct RaftArgs {
    #[command(subcommand)]
    pub(crate) command: RaftCommand,
}

/// A member's name and the address of its Raft port, in the form that RAFT_PEERS has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) name: String,
    /// `host:port`.
    pub(crate) address: String,
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let peers: inquisitor_conductor::PeerList =
            text.parse().map_err(|error: inquisitor_conductor::ConductorError| error.to_string())?;
        let mut peers = peers.iter();
        match (peers.next(), peers.next()) {
            (Some((name, address)), None) => {
                Ok(Self { name: name.to_string(), address: address.to_string() })
            }
            _ => Err("name one member, as host-3=host-3.example:4321".to_owned()),
        }
    }
}

/// What to ask of the cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum RaftCommand {
    /// What this member knows of itself and of the others.
    Status,
    /// The members, as this one sees them.
    Members,
    /// Hand leadership over. Without a name, the host that is asked does so if it leads, and nothing happens if it does not.
    #[command(
        after_help = "Before a host is stopped:\n  inquisitor --server http://127.0.0.1:8000 raft transfer-leader --wait 20s"
    )]
    TransferLeader {
        /// The member that is to lead.
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
        /// How long it may take.
        #[arg(long, value_name = "DURATION", default_value = "10s")]
        wait: Period,
    },
    /// Say how a new member is started, and wait until it belongs to the cluster.
    ///
    /// A member joins by itself: it is started with RAFT_PEERS that name others, proves itself by the cluster's secret or
    /// certificate, and becomes a voter once it has caught up. This command changes nothing in the cluster. It prints the
    /// RAFT_PEERS to start it with, and watches, through the host that is asked, until the member is a voter at its address;
    /// exits 1 if it is not in time, and says how far it is.
    #[command(after_help = "\
Examples:
  inquisitor raft add host-3=host-3.example:4321               # waits; start the member meanwhile
  inquisitor raft add host-3=host-3.example:4321 --wait 0s     # only says how, and how far it is")]
    Add {
        /// Its name, and the address of its Raft port.
        #[arg(value_name = "NAME=ADDRESS")]
        member: Address,
        /// How long to wait for it.
        #[arg(long, value_name = "DURATION", default_value = "10m")]
        wait: Period,
    },
    /// Remove a member, whether or not it lives. What only it held is lost with it. See `raft add` for how one is added.
    Remove {
        /// Name of the member.
        name: String,
    },
    /// Have this host make a snapshot, after which it purges its log.
    Snapshot,
}
