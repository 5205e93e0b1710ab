//! Random commands against a model of a few lines.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod reference;
mod support;

use inquisitor_engine::gating::{DEFAULT_TENANT, Tenant};
use inquisitor_engine::journal::{Abort, Command, Journal, Token};
use inquisitor_ledger::verify_export;
use proptest::prelude::*;
use reference::Model;
use support::*;

/// A command with small numbers, so that commands meet each other.
#[derive(Debug, Clone)]
enum Draw {
    Submit {
        inquiry: u8,
        tenant: u8,
        plan: u8,
        key: Option<u8>,
    },
    Lease {
        inquiry: u8,
        step: usize,
        round: u32,
        attempt: u32,
    },
    Record {
        inquiry: u8,
        step: usize,
        round: u32,
        attempt: u32,
        term_off: u64,
        value: u8,
        is_final: bool,
    },
    /// The next round of the first step, from lease to final record.
    Observe {
        inquiry: u8,
        skip: u32,
    },
    Update {
        inquiry: u8,
        reason: u8,
    },
    Cancel {
        inquiry: u8,
    },
    Conclude {
        inquiry: u8,
        reason: u8,
    },
    Abort {
        inquiry: u8,
        timed_out: bool,
    },
    CreateTenant {
        tenant: u8,
        limit: Option<u32>,
    },
    UpdateTenant {
        tenant: u8,
        limit: Option<u32>,
    },
    RemoveTenant {
        tenant: u8,
    },
    CreateKey {
        key: u8,
        secret: u8,
        tenant: Option<u8>,
    },
    RevokeKey {
        key: u8,
    },
    Install {
        component: u8,
        version: u8,
        tenant: Option<u8>,
    },
    Uninstall {
        component: u8,
        tenant: Option<u8>,
    },
    Decide,
    /// Close and open the directory.
    Reopen,
}

fn draw() -> impl Strategy<Value = (bool, Draw)> {
    let inquiry = || 0..3_u8;
    let tenant = || 0..3_u8;
    let owner = || prop_oneof![Just(None), tenant().prop_map(Some)];
    let limit = || prop_oneof![Just(None), (0..2_u32).prop_map(Some)];
    let change = prop_oneof![
        9 => (inquiry(), tenant(), 0..5_u8, prop_oneof![2 => Just(None), 1 => (0..2_u8).prop_map(Some)])
            .prop_map(|(inquiry, tenant, plan, key)| Draw::Submit { inquiry, tenant, plan, key }),
        12 => (inquiry(), 0..3_usize, prop_oneof![4 => Just(0_u32), 1 => 0..4_u32], 0..4_u32)
            .prop_map(|(inquiry, step, round, attempt)| Draw::Lease { inquiry, step, round, attempt }),
        16 => (
            inquiry(),
            0..3_usize,
            prop_oneof![4 => Just(0_u32), 1 => 0..4_u32],
            1..4_u32,
            prop_oneof![9 => Just(0_u64), 1 => Just(1)],
            0..2_u8,
            any::<bool>(),
        )
            .prop_map(|(inquiry, step, round, attempt, term_off, value, is_final)| Draw::Record {
                inquiry, step, round, attempt, term_off, value, is_final
            }),
        10 => (inquiry(), 0..2_u32).prop_map(|(inquiry, skip)| Draw::Observe { inquiry, skip }),
        2 => (inquiry(), 0..2_u8).prop_map(|(inquiry, reason)| Draw::Update { inquiry, reason }),
        1 => inquiry().prop_map(|inquiry| Draw::Cancel { inquiry }),
        3 => (inquiry(), 0..2_u8).prop_map(|(inquiry, reason)| Draw::Conclude { inquiry, reason }),
        2 => (inquiry(), any::<bool>()).prop_map(|(inquiry, timed_out)| Draw::Abort { inquiry, timed_out }),
        4 => (tenant(), limit()).prop_map(|(tenant, limit)| Draw::CreateTenant { tenant, limit }),
        1 => (tenant(), limit()).prop_map(|(tenant, limit)| Draw::UpdateTenant { tenant, limit }),
        2 => tenant().prop_map(|tenant| Draw::RemoveTenant { tenant }),
        3 => (0..3_u8, 0..3_u8, owner()).prop_map(|(key, secret, tenant)| Draw::CreateKey { key, secret, tenant }),
        1 => (0..3_u8).prop_map(|key| Draw::RevokeKey { key }),
        4 => (0..2_u8, 0..2_u8, owner())
            .prop_map(|(component, version, tenant)| Draw::Install { component, version, tenant }),
        2 => (0..2_u8, owner()).prop_map(|(component, tenant)| Draw::Uninstall { component, tenant }),
        1 => Just(Draw::Decide),
        1 => Just(Draw::Reopen),
    ];
    (prop::bool::weighted(0.2), change)
}

/// What commands name.
struct World {
    manifest: String,
    components: [String; 2],
}

fn tenant_name(tenant: u8) -> &'static str {
    [DEFAULT_TENANT, "food", "pharma"][usize::from(tenant)]
}

fn commands(draw: &Draw, world: &World, model: &Model) -> Vec<Command> {
    let id = |inquiry: &u8| format!("q{inquiry}");
    let owner = |tenant: &Option<u8>| tenant.map(tenant_name);
    let described = |name: u8, limit: Option<u32>| {
        let tenant = Tenant { description: format!("{limit:?}"), ..tenant(tenant_name(name), limit) };
        Box::new(tenant)
    };
    let component = |component: &u8| &world.components[usize::from(*component)];
    let held = |id: &str, step: usize| {
        let step = model.inquiries.get(id).and_then(|there| there.steps.get(&step));
        step.map_or((0, Token { term: 1, attempt: 0 }), |step| (step.round, step.token))
    };
    vec![match draw {
        Draw::Submit { inquiry, tenant, plan: kind, key } => {
            let mut plan = match kind {
                0 | 1 => plan("n", usize::from(*kind) + 1),
                2 => continuous(1, component(&0)),
                other => continuous(2, component(&(other - 3))),
            };
            if *kind == 4 {
                plan.manifest_digest = "cd".repeat(32);
            }
            let key = key.map(|key| key.to_string());
            submit_as(tenant_name(*tenant), &id(inquiry), &world.manifest, plan, key.as_deref())
        }
        Draw::Lease { inquiry, step, round, attempt } => lease_round(&id(inquiry), *step, *round, *attempt),
        Draw::Record { inquiry, step, round, attempt, term_off, value, is_final } => {
            let id = id(inquiry);
            let token = Token { term: held(&id, *step).1.term + term_off, attempt: *attempt };
            record_round(&id, *step, *round, token, readings(f64::from(*value)), *is_final)
        }
        Draw::Observe { inquiry, skip } => {
            let id = id(inquiry);
            let (round, last) = held(&id, 0);
            let recorded = model.inquiries.get(&id).and_then(|there| there.steps.get(&0));
            let next = match recorded {
                Some(step) if step.record.is_some() => round + 1 + skip,
                _ => round,
            };
            let token = Token { attempt: last.attempt + 1, ..last };
            return vec![
                lease_round(&id, 0, next, token.attempt),
                record_round(&id, 0, next, token, readings(f64::from(next)), true),
            ];
        }
        Draw::Update { inquiry, reason } => update(&id(inquiry), &reason.to_string()),
        Draw::Cancel { inquiry } => cancel(&id(inquiry)),
        Draw::Conclude { inquiry, reason } => conclude(&id(inquiry), &reason.to_string()),
        Draw::Abort { inquiry, timed_out } => {
            abort(&id(inquiry), if *timed_out { Abort::TimedOut } else { Abort::Cancelled })
        }
        Draw::CreateTenant { tenant, limit } => {
            Command::CreateTenant { tenant: described(*tenant, *limit), at: 1 }
        }
        Draw::UpdateTenant { tenant, limit } => {
            Command::UpdateTenant { tenant: described(*tenant, *limit), at: 1 }
        }
        Draw::RemoveTenant { tenant } => remove_tenant(tenant_name(*tenant)),
        Draw::CreateKey { key: id, secret, tenant } => {
            let mut key = key(&id.to_string(), owner(tenant));
            key.secret_hash = secret_hash(&secret.to_string());
            Command::CreateKey { key: Box::new(key), at: 1 }
        }
        Draw::RevokeKey { key } => revoke_key(&key.to_string()),
        Draw::Install { component: digest, version, tenant } => {
            install(component(digest), &version.to_string(), owner(tenant))
        }
        Draw::Uninstall { component: digest, tenant } => remove_plugin(component(digest), owner(tenant)),
        Draw::Decide => Command::Decide { access: Box::new(access("key.list", "", false)) },
        Draw::Reopen => return Vec::new(),
    }]
}

async fn compare(draws: Vec<(bool, Draw)>) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut conductor = open(&data).await;
    let manifest = manifest(&conductor).await;
    let components = [
        conductor.put_blob(b"one".to_vec()).await.unwrap(),
        conductor.put_blob(b"two".to_vec()).await.unwrap(),
    ];
    let world = World { manifest, components };
    let mut model = Model::default();
    for (is_authorized, draw) in draws {
        if matches!(draw, Draw::Reopen) {
            conductor.shutdown().await;
            conductor = open(&data).await;
        }
        for mut command in commands(&draw, &world, &model) {
            let term = conductor.status().await.unwrap().term;
            // A record of a round that the same draw leased comes with the token of now.
            if let (Draw::Observe { .. }, Command::Record { token, .. }) = (&draw, &mut command) {
                token.term = term;
            }
            if is_authorized && !matches!(draw, Draw::Decide) {
                command = authorized("any", "", command);
            }
            let expected = model.apply(&command, term);
            prop_assert_eq!(conductor.propose(command).await.unwrap(), expected, "{:?}", draw);
        }
    }
    let ids = |found: Vec<&inquisitor_engine::journal::Inquiry>| {
        found.into_iter().map(|one| one.id.clone()).collect::<Vec<_>>()
    };
    for (id, expected) in &model.inquiries {
        let found = conductor.inquiry(id).await.unwrap();
        prop_assert_eq!(found.as_ref(), Some(expected));
        let missed: u64 = expected.steps.values().map(|step| step.missed).sum();
        prop_assert_eq!(conductor.summary(id).await.unwrap().unwrap().missed, missed);
    }
    prop_assert_eq!(conductor.unfinished().await.unwrap(), ids(model.running(None)));
    for tenant in (0..3).map(tenant_name) {
        let unfinished = conductor.unfinished_of(tenant).await.unwrap();
        prop_assert_eq!(unfinished, model.running(Some(tenant)).len(), "{}", tenant);
    }
    let registry = conductor.registry();
    let written = |tenant: &&Tenant| model.tenants.contains_key(&tenant.name);
    prop_assert_eq!(
        registry.tenants().filter(written).cloned().collect::<Vec<_>>(),
        model.tenants.values().cloned().collect::<Vec<_>>()
    );
    prop_assert!(registry.tenant(DEFAULT_TENANT).is_some());
    prop_assert_eq!(
        registry.keys().cloned().collect::<Vec<_>>(),
        model.keys.values().cloned().collect::<Vec<_>>()
    );
    prop_assert_eq!(
        registry.plugins().cloned().collect::<Vec<_>>(),
        model.plugins.values().cloned().collect::<Vec<_>>()
    );
    let mut export = Vec::new();
    let checkpoint = conductor.export_ledger(&mut export).unwrap();
    prop_assert_eq!(checkpoint.size, model.entries);
    let lines = export.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    prop_assert_eq!(verify_export(lines, None).unwrap(), checkpoint);
    conductor.shutdown().await;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 200,
        rng_seed: proptest::test_runner::RngSeed::Fixed(4321),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_commands_do_what_the_model_does(draws in prop::collection::vec(draw(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare(draws))?;
    }
}
