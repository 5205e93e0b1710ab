//! Who may do what: keys, roles, policies and rates, and the decisions that go into the ledger.
//!
//! Every handler takes a [`Principal`] and asks [`Principal::permit`]; nothing else decides.

mod action;
