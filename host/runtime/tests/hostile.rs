//! What a component that misbehaves comes to: an outcome with a name, and a host that goes on.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

mod support;

use std::time::{Duration, Instant};

use inquisitor_runtime::LoadError;
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::{Limits, SessionRequest};
use serde_json::json;
use support::{
    assert_well, failure, guest, hostile, misbehave, number, parameters, request, runtime, with_core_module,
};
use tokio_util::sync::CancellationToken;

fn limited(change: impl FnOnce(&mut Limits)) -> SessionRequest {
    let mut request = request();
    change(&mut request.limits);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_ends_at_the_wall_limit() {
    let started = Instant::now();
    let failed =
        failure(limited(|l| l.wall = Duration::from_millis(200)), json!({"behaviour": "endless-loop"})).await;
    assert_eq!(failed, Failure::WallLimit { limit_ms: 200 });
    assert!(started.elapsed() < Duration::from_secs(60), "the limit must end it, not the test's patience");
}

#[tokio::test] // One thread: the loop must not keep it from everyone else.
async fn an_endless_loop_leaves_the_thread_to_others() {
    let hostile = hostile().await;
    let step = parameters(json!({"behaviour": "endless-loop"}));
    let looping = hostile.run(limited(|l| l.wall = Duration::from_secs(2)), &step);
    let other = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Instant::now()
    };
    let ended = async {
        let report = looping.await;
        (report, Instant::now())
    };
    let ((report, loop_end), other_end) = tokio::join!(ended, other);
    assert_eq!(report.result, Err(Failure::WallLimit { limit_ms: 2000 }));
    assert!(other_end < loop_end);
    assert!(report.usage.wall >= 2_000_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_ever_ends_at_the_wall_limit() {
    let step = json!({"behaviour": "sleep", "count": 3_600_000});
    let failed = failure(limited(|l| l.wall = Duration::from_millis(200)), step).await;
    assert_eq!(failed, Failure::WallLimit { limit_ms: 200 });
}

#[tokio::test(flavor = "multi_thread")]
async fn fuel_ends_a_computation_and_is_measured() {
    let loops = |count: u64| json!({"behaviour": "compute", "count": count});
    let failed = failure(limited(|l| l.fuel = Some(5_000_000)), loops(100_000_000)).await;
    assert_eq!(failed, Failure::FuelLimit { limit: 5_000_000 });

    let first = misbehave(limited(|l| l.fuel = Some(5_000_000)), loops(1000)).await;
    let second = misbehave(limited(|l| l.fuel = Some(5_000_000)), loops(1000)).await;
    assert!(first.result.is_ok());
    assert!(first.usage.fuel.unwrap() > 1000);
    assert_eq!(first.usage.fuel, second.usage.fuel, "fuel is the same for the same work");
    assert_eq!(
        misbehave(request(), loops(1000)).await.usage.fuel,
        None,
        "who asks for no budget gets no count"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_ends_at_its_limit_and_the_peak_is_told() {
    let report = misbehave(limited(|l| l.memory = 32 << 20), json!({"behaviour": "memory-bomb"})).await;
    let Err(Failure::MemoryLimit { limit, asked }) = report.result else { panic!("{:?}", report.result) };
    assert_eq!(limit, 32 << 20);
    assert!(asked > limit);
    assert!(report.usage.peak_memory > 16 << 20 && report.usage.peak_memory <= 32 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_may_get_over_a_refused_growth() {
    let report = misbehave(limited(|l| l.memory = 8 << 20), json!({"behaviour": "memory-recover"})).await;
    assert_eq!(report.result.map(|observation| number(&observation)), Ok(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn less_memory_than_the_component_needs_is_told_with_both_numbers() {
    let needed = hostile().await.description().minimum_memory;
    assert!(needed >= 1 << 16);
    let failed = failure(limited(|l| l.memory = 1000), json!({})).await;
    assert_eq!(failed, Failure::MemoryLimit { limit: 1000, asked: needed });
    let tables = hostile().await.description().minimum_table_elements;
    let failed = failure(limited(|l| l.table_elements = 1), json!({})).await;
    assert_eq!(failed, Failure::TableLimit { limit: 1, asked: tables });
}

#[tokio::test(flavor = "multi_thread")]
async fn more_instances_than_allowed_are_refused() {
    let failed = failure(limited(|l| l.instances = 1), json!({})).await;
    assert!(matches!(failed, Failure::InstanceLimit { .. }), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_ends_at_its_limit() {
    let grows = with_core_module(
        &guest("plain"),
        "(module (table $t 10 funcref) (start $s)
            (func $s (if (i32.eq (table.grow $t (ref.null func) (i32.const 5000)) (i32.const -1)) (then unreachable))))",
    );
    let plugin = runtime().load(&grows).await.unwrap();
    let step = parameters(json!({}));
    assert!(plugin.run(request(), &step).await.result.is_ok());
    let report = plugin.run(limited(|l| l.table_elements = 5000), &step).await;
    let Err(Failure::TableLimit { limit: 5000, asked }) = report.result else {
        panic!("{:?}", report.result)
    };
    assert!(asked > 5010);
    assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_memories_are_counted_together() {
    // Three memories of 40 pages each beside the guest's own, each well below the limit.
    let mut component = guest("plain");
    for _ in 0..3 {
        component = with_core_module(&component, "(module (memory 40))");
    }
    let plugin = runtime().load(&component).await.unwrap();
    let needed = plugin.description().minimum_memory;
    assert!(needed > 120 << 16);
    let step = parameters(json!({}));
    assert!(plugin.run(limited(|l| l.memory = needed + (1 << 20)), &step).await.result.is_ok());
    let report = plugin.run(limited(|l| l.memory = needed - 1), &step).await;
    assert_eq!(report.result, Err(Failure::MemoryLimit { limit: needed - 1, asked: needed }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stack_ends_with_its_name() {
    // At the start of the instance, so already when the component is asked who it is.
    let endless = with_core_module(&guest("plain"), "(module (func $f (call $f) (call $f)) (start $f))");
    let error = runtime().load(&endless).await.unwrap_err();
    assert_eq!(error, LoadError::Describe(Failure::StackLimit { limit: 1 << 20 }));
    // A guest in Rust keeps large frames in its own memory; whichever stack is used up first, the host's survives.
    let failed = failure(request(), json!({"behaviour": "stack-overflow", "count": 1})).await;
    assert!(matches!(failed, Failure::StackLimit { .. } | Failure::Trap { .. }), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_never_says_who_it_is_is_refused() {
    let endless = with_core_module(&guest("plain"), "(module (func $f (loop (br 0))) (start $f))");
    let error = runtime().load(&endless).await.unwrap_err();
    assert_eq!(error, LoadError::Describe(Failure::WallLimit { limit_ms: 10_000 }));
    assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_the_host_are_counted() {
    let flood = |count: u64| json!({"behaviour": "host-call-flood", "count": count});
    let failed = failure(limited(|l| l.host_calls = 1000), flood(1_000_000)).await;
    assert_eq!(failed, Failure::HostCallLimit { limit: 1000 });
    let report = misbehave(request(), flood(500)).await;
    assert!(report.result.is_ok());
    assert!((500..600).contains(&report.usage.host_calls), "{}", report.usage.host_calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_log_lines_is_cut_and_counted() {
    for behaviour in ["log-flood", "stdout"] {
        let step = json!({"behaviour": behaviour, "count": 5000});
        let report = misbehave(limited(|l| l.log_bytes = 10_000), step).await;
        assert!(report.result.is_ok(), "{behaviour}: a flood is no failure");
        let bytes: usize = report.logs.iter().map(|line| line.message.len()).sum();
        assert!(!report.logs.is_empty() && bytes <= 10_000);
        assert_eq!(report.logs.len() as u64 + report.usage.dropped_log_lines, 5000, "{behaviour}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_log_line_is_cut_and_escaped() {
    let report = misbehave(request(), json!({"behaviour": "log-huge"})).await;
    assert!(report.result.is_ok());
    assert_eq!(report.logs.len(), 1);
    let message = &report.logs[0].message;
    assert!(message.len() <= (8 << 10) + 3 && message.starts_with("\\u{1b}[31mx"), "{} bytes", message.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_argument_is_refused_before_it_is_copied() {
    let failed = failure(request(), json!({"behaviour": "argument-huge", "count": 20_000_000})).await;
    assert!(matches!(failed, Failure::ResultLimit { .. }), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_result_is_refused_before_it_is_copied() {
    let request = limited(|l| l.result_bytes = 1 << 20);
    let failed = failure(request, json!({"behaviour": "huge-text", "count": 2 << 20})).await;
    assert!(matches!(&failed, Failure::ResultLimit { limit, .. } if *limit == 1 << 20), "{failed:?}");
    let request = limited(|l| l.result_bytes = 1 << 20);
    let failed = failure(request, json!({"behaviour": "huge-series", "count": 1_000_000})).await;
    assert!(matches!(failed, Failure::ResultLimit { .. }), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_readings_are_counted() {
    let step = |behaviour: &str| json!({"behaviour": behaviour, "count": 101});
    for behaviour in ["many-readings", "huge-series"] {
        let failed = failure(limited(|l| l.readings = 100), step(behaviour)).await;
        let expected = Failure::ResultLimit { what: "readings".to_owned(), limit: 100, asked: 101 };
        assert_eq!(failed, expected);
        assert!(misbehave(limited(|l| l.readings = 101), step(behaviour)).await.result.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_of_the_host_are_bounded() {
    let failed = failure(request(), json!({"behaviour": "pollables", "count": 100_000})).await;
    assert!(matches!(&failed, Failure::ResultLimit { what, .. } if what == "host resources"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_the_host_are_bounded() {
    let report = misbehave(request(), json!({"behaviour": "sockets", "count": 500})).await;
    assert_eq!(report.result.map(|observation| number(&observation)), Ok(32.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_are_bounded() {
    let report = misbehave(request(), json!({"behaviour": "random-huge", "count": 65_536})).await;
    assert_eq!(report.result.map(|observation| number(&observation)), Ok(65_536.0));
    let failed = failure(request(), json!({"behaviour": "random-huge", "count": 1_u64 << 40})).await;
    let what = "random bytes".to_owned();
    assert_eq!(failed, Failure::ResultLimit { what, limit: 65_536, asked: 1 << 40 });
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_bounded_and_the_guest_is_told() {
    let request = limited(|l| l.state_bytes = 1000);
    let report = misbehave(request, json!({"behaviour": "state-huge", "count": 1001})).await;
    assert_eq!(report.result.map(|observation| number(&observation)), Ok(1000.0));
    assert_eq!(report.state, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_bounded() {
    let mut session = hostile().await.open(request()).await.unwrap();
    let failed = session.checkpoint().await.unwrap_err();
    let what = "checkpoint bytes".to_owned();
    assert_eq!(failed, Failure::ResultLimit { what, limit: 1 << 20, asked: 4 << 20 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_trap_with_the_place() {
    let report = misbehave(request(), json!({"behaviour": "panic"})).await;
    let Err(Failure::Trap { message }) = report.result else { panic!("{:?}", report.result) };
    assert!(message.contains("unreachable") && message.contains(", in "), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_over_after_a_trap_and_not_after_an_error() {
    let mut session = hostile().await.open(request()).await.unwrap();
    let unknown = parameters(json!({"behaviour": "nonsense"}));
    assert!(matches!(session.observe("s", &unknown).await, Err(Failure::Failed { .. })));
    let good = parameters(json!({}));
    assert!(session.observe("s", &good).await.is_ok());
    let first = session.observe("s", &parameters(json!({"behaviour": "panic"}))).await.unwrap_err();
    assert_eq!(session.observe("s", &good).await.unwrap_err(), first);
    assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_call_ends_the_session() {
    let mut session = hostile().await.open(request()).await.unwrap();
    let sleep = parameters(json!({"behaviour": "sleep", "count": 3_600_000}));
    let abandoned = tokio::time::timeout(Duration::from_millis(50), session.observe("s", &sleep)).await;
    assert!(abandoned.is_err());
    let failed = session.observe("s", &parameters(json!({}))).await.unwrap_err();
    assert!(matches!(failed, Failure::Host { message } if message.contains("abandoned")));
    session.finish().await;
    assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_closing_leaves_the_reading_and_a_line() {
    let mut request = request();
    request.parameters = parameters(json!({"panic_on_drop": true}));
    let report = misbehave(request, json!({})).await;
    assert!(report.result.is_ok());
    assert!(
        report.logs.iter().any(|line| line.message.contains("closing the instrument failed")),
        "{:?}",
        report.logs
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn open_is_limited_as_every_call_is() {
    let mut request = limited(|l| l.wall = Duration::from_millis(200));
    request.parameters = parameters(json!({"behaviour": "endless-loop"}));
    let report = hostile().await.open(request).await.unwrap_err();
    assert_eq!(report.result, Err(Failure::WallLimit { limit_ms: 200 }));
    assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_checked_by_name() {
    for (step, expected) in [
        (json!({"behaviour": "not-finite"}), "reading 0 (`mischief`): the value is NaN"),
        (json!({"behaviour": "undeclared"}), "reading 0 (`virtue`): the quantity is not among those"),
        (json!({"behaviour": "no-unit"}), "the unit is empty"),
        (json!({"behaviour": "too-confident"}), "the confidence is 2"),
        (json!({"behaviour": "many-attributes", "count": 33}), "reading 0 has 33 attributes, 32 are allowed"),
        (json!({"behaviour": "ragged-series"}), "series 0 (`mischief`): 2 times for 3 values"),
    ] {
        match failure(request(), step).await {
            Failure::ContractViolation { message } => assert!(message.contains(expected), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_ends_the_call() {
    for (count, code) in [(0, 0), (1, 1)] {
        let failed = failure(request(), json!({"behaviour": "exit", "count": count})).await;
        assert_eq!(failed, Failure::Exited { code });
    }
}

/// Cancel once the guest is in the middle of it.
fn cancelled_soon(request: &SessionRequest) -> CancellationToken {
    let cancel = request.cancel.clone();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        later.cancel();
    });
    cancel
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_asks_is_told_to_stop() {
    let request = request();
    cancelled_soon(&request);
    let report = misbehave(request, json!({"behaviour": "ask-cancelled"})).await;
    assert_eq!(report.result, Err(Failure::Cancelled));
    // An answer to such a question cannot be given again. On a busy machine the guest may be stopped before it asks.
    assert!(!report.transcript.complete || report.usage.host_calls == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_ask_is_stopped() {
    for behaviour in ["endless-loop", "sleep"] {
        let request = limited(|l| l.wall = Duration::from_secs(600));
        cancelled_soon(&request);
        let failed = failure(request, json!({"behaviour": behaviour, "count": 3_600_000})).await;
        assert_eq!(failed, Failure::Cancelled, "{behaviour}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_once_it_is_cancelled() {
    let request = request();
    request.cancel.cancel();
    let report = misbehave(request, json!({})).await;
    assert_eq!(report.result, Err(Failure::Cancelled));
    assert_eq!(report.usage.host_calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_no_more_than_the_limit() {
    let ear = support::ear();
    let mut request = limited(|l| l.log_bytes = 1000);
    request.listener = Some(ear.clone());
    misbehave(request, json!({"behaviour": "log-flood", "count": 1000})).await;
    let heard = ear.lines.lock().unwrap().len();
    assert!((1..=1000 / 64).contains(&heard), "{heard}");
}
