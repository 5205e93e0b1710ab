//! What is to be done so that what runs is what is declared. Pure: no files, no clock, no journal.
//!
//! The rules. A file that runs once is submitted once for each text; that it was cancelled changes nothing. A continuous one
//! is there as long as its file is: if somebody cancels it or it breaks, it begins again; if it came to the end that its own
//! manifest sets, it has ended. A text that changed ends what ran for the text before, and waits for that end. A file that is
//! gone ends what ran for it. A file that cannot be used leaves what runs for it alone. One manifest id of one tenant belongs
//! to one file: the one that runs, or else the first by name.

use std::collections::{BTreeMap, BTreeSet};

use inquisitor_engine::journal::InquiryId;

/// A file that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) tenant: String,
    pub(super) manifest_id: String,
    /// SHA-256 of the text.
    pub(super) digest: String,
    pub(super) continuous: bool,
}

/// An inquiry of a declared file that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) inquiry: InquiryId,
    pub(super) file: String,
    pub(super) tenant: String,
    pub(super) manifest_id: String,
    pub(super) digest: String,
    /// Whether its end was asked for.
    pub(super) stopping: bool,
}

/// The last inquiry of a file, which has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) digest: String,
    pub(super) inquiry: InquiryId,
    pub(super) end: End,
}

/// How an inquiry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with a finding.
    Concluded,
    /// Because somebody asked for it.
    Cancelled,
    /// Without a finding, and nobody asked for it.
    Failed,
}

/// How a file stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its inquiry runs.
    Running(InquiryId),
    /// Its inquiry has ended, and that is as it should be.
    Ended(InquiryId),
    /// To be submitted now; after this inquiry, where one of the same text has ended that should not have.
    Due { after: Option<InquiryId> },
    /// To be submitted, and not yet: it was tried a short while ago.
    Held,
    /// To be submitted once this inquiry has ended.
    Waiting(InquiryId),
    /// Another file has its manifest id.
    Duplicate { of: String },
    /// The file cannot be used. What ran for it before goes on.
    Broken(Option<InquiryId>),
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// How each file stands; those that are due are to be submitted.
    pub(super) files: BTreeMap<String, Standing>,
    /// Inquiries whose end is to be asked for, with their tenants.
    pub(super) cancel: Vec<(InquiryId, String)>,
    /// Differences between what is declared and what runs: inquiries that should not run, files that should and do not.
    pub(super) drift: usize,
}

/// What is to be done. `files` are those of the directory, none where a file cannot be used; `live` is in the order of
/// submission; `held` are the files that must not be submitted now.
pub(super) fn plan(
    files: &BTreeMap<String, Option<Wanted>>,
    live: &[Live],
    last: &BTreeMap<String, Last>,
    held: &BTreeSet<String>,
) -> Plan {
    // Which inquiries stay, and which file has which manifest id.
    let mut owners: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut kept: BTreeMap<&str, &Live> = BTreeMap::new();
    let mut unwanted: Vec<&Live> = Vec::new();
    for inquiry in live {
        let wanted = match files.get(&inquiry.file) {
            None => false,
            Some(None) => true,
            Some(Some(wanted)) => wanted.digest == inquiry.digest,
        };
        let owner = owners.get(&id(&inquiry.tenant, &inquiry.manifest_id));
        let free =
            owner.is_none_or(|owner| *owner == inquiry.file) && !kept.contains_key(inquiry.file.as_str());
        if wanted && free {
            owners.insert(id(&inquiry.tenant, &inquiry.manifest_id), &inquiry.file);
            kept.insert(&inquiry.file, inquiry);
        } else {
            unwanted.push(inquiry);
        }
    }
    for (file, wanted) in files {
        if let Some(wanted) = wanted {
            owners.entry(id(&wanted.tenant, &wanted.manifest_id)).or_insert(file);
        }
    }

    let mut plan = Plan::default();
    for (file, wanted) in files {
        let standing = match wanted {
            None => Standing::Broken(kept.get(file.as_str()).map(|live| live.inquiry.clone())),
            Some(wanted) => match owners.get(&id(&wanted.tenant, &wanted.manifest_id)) {
                Some(owner) if owner != file => Standing::Duplicate { of: (*owner).to_owned() },
                _ => {
                    standing(file, wanted, kept.get(file.as_str()).copied(), &unwanted, last.get(file), held)
                }
            },
        };
        if matches!(standing, Standing::Due { .. } | Standing::Held | Standing::Waiting(_)) {
            plan.drift += 1;
        }
        plan.files.insert(file.clone(), standing);
    }
    plan.drift += unwanted.len();
    let to_cancel = unwanted.into_iter().filter(|live| !live.stopping);
    plan.cancel = to_cancel.map(|live| (live.inquiry.clone(), live.tenant.clone())).collect();
    plan
}

fn id<'a>(tenant: &'a str, manifest: &'a str) -> (&'a str, &'a str) {
    (tenant, manifest)
}

/// How a file stands that can be run and has its manifest id for itself.
fn standing(
    file: &str,
    wanted: &Wanted,
    own: Option<&Live>,
    unwanted: &[&Live],
    last: Option<&Last>,
    held: &BTreeSet<String>,
) -> Standing {
    if let Some(own) = own {
        return match own.stopping {
            false => Standing::Running(own.inquiry.clone()),
            true => Standing::Waiting(own.inquiry.clone()),
        };
    }
    let before = unwanted.iter().find(|live| {
        live.file == file || (live.tenant == wanted.tenant && live.manifest_id == wanted.manifest_id)
    });
    if let Some(before) = before {
        return Standing::Waiting(before.inquiry.clone());
    }
    let after = match last.filter(|last| last.digest == wanted.digest) {
        None => None,
        Some(last) if !wanted.continuous || last.end == End::Concluded => {
            return Standing::Ended(last.inquiry.clone());
        }
        Some(last) => Some(last.inquiry.clone()),
    };
    if held.contains(file) { Standing::Held } else { Standing::Due { after } }
}

#[cfg(test)]
mod tests;
