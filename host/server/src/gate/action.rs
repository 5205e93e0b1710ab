//! What can be asked for, and which roles may.

use inquisitor_engine::gating::Role;

/// What a request asks for. The names are in the ledger and in the API's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    PluginRead,
    PluginUpload,
    PluginRemove,
    InquiryRead,
    InquiryValidate,
    InquirySubmit,
    InquiryCancel,
    LedgerRead,
    ManifestRead,
    TenantRead,
    TenantManage,
    KeyRead,
    KeyManage,
    /// Status of the host and of the cluster.
    HostRead,
    /// Members of the cluster, leadership, snapshots.
    HostManage,
    /// All that the host has, in one file.
    HostBackup,
}

use Action::{
    HostBackup, HostManage, HostRead, InquiryCancel, InquiryRead, InquirySubmit, InquiryValidate, KeyManage,
    KeyRead, LedgerRead, ManifestRead, PluginRead, PluginRemove, PluginUpload, TenantManage, TenantRead,
};
use Role::{Admin, Auditor, Author, Operator, Submitter};

impl Action {
    /// All of them.
    pub(crate) const ALL: [Self; 16] = [
        PluginRead,
        PluginUpload,
        PluginRemove,
        InquiryRead,
        InquiryValidate,
        InquirySubmit,
        InquiryCancel,
        LedgerRead,
        ManifestRead,
        TenantRead,
        TenantManage,
        KeyRead,
        KeyManage,
        HostRead,
        HostManage,
        HostBackup,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            PluginRead => "plugin.read",
            PluginUpload => "plugin.upload",
            PluginRemove => "plugin.remove",
            InquiryRead => "inquiry.read",
            InquiryValidate => "inquiry.validate",
            InquirySubmit => "inquiry.submit",
            InquiryCancel => "inquiry.cancel",
            LedgerRead => "ledger.read",
            ManifestRead => "manifest.read",
            TenantRead => "tenant.read",
            TenantManage => "tenant.manage",
            KeyRead => "key.read",
            KeyManage => "key.manage",
            HostRead => "host.read",
            HostManage => "host.manage",
            HostBackup => "host.backup",
        }
    }

    /// The roles that may. A key with a tenant may only in that tenant; managing tenants takes a key without one.
    pub(crate) fn roles(self) -> &'static [Role] {
        match self {
            PluginRead => &[Admin, Operator, Submitter, Author, Auditor],
            PluginUpload | PluginRemove => &[Admin, Operator, Author],
            InquiryRead => &[Admin, Operator, Submitter, Auditor],
            InquiryValidate => &[Admin, Operator, Submitter, Author],
            InquirySubmit | InquiryCancel => &[Admin, Operator, Submitter],
            LedgerRead => &[Admin, Operator, Submitter, Auditor],
            ManifestRead => &[Admin, Operator, Auditor],
            TenantRead | KeyRead => &[Admin, Auditor],
            TenantManage | KeyManage | HostBackup => &[Admin],
            HostRead => &[Admin, Operator, Auditor],
            HostManage => &[Admin, Operator],
        }
    }

    /// Whether it changes something, so that being allowed is a decision for the ledger too.
    pub(crate) fn changes(self) -> bool {
        matches!(
            self,
            PluginUpload
                | PluginRemove
                | InquirySubmit
                | InquiryCancel
                | TenantManage
                | KeyManage
                | HostManage
                | HostBackup
        )
    }

    /// Whether it is about the host as a whole, so that no key of a single tenant may.
    pub(crate) fn above_tenants(self) -> bool {
        matches!(self, TenantManage | HostRead | HostBackup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_may_do_something_and_auditors_and_strangers_change_nothing() {
        for role in Role::ALL {
            assert!(Action::ALL.iter().any(|action| action.roles().contains(&role)), "{role:?}");
        }
        for action in Action::ALL {
            assert!(action.roles().contains(&Admin), "{}", action.name());
            assert!(!(action.changes() && action.roles().contains(&Auditor)), "{}", action.name());
        }
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::BTreeSet<_> = Action::ALL.iter().map(|action| action.name()).collect();
        assert_eq!(names.len(), Action::ALL.len());
    }
}
