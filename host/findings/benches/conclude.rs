//! The whole way from 100,000 readings to a finding.
#![allow(missing_docs, unused_crate_dependencies)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inquisitor_findings::conclude;

#[path = "../tests/common/mod.rs"]
mod common;

use common::{SECOND, agreement, bounds, cold_chain, expression, noise, of_series, plan, rate, temperatures};

fn findings(c: &mut Criterion) {
    let ids = ["a", "b", "c", "d"];
    let per_instrument = 25_000;
    let observed: Vec<_> = ids
        .iter()
        .zip(1..)
        .map(|(id, seed)| {
            let values: Vec<f64> =
                noise(seed).take(per_instrument).map(|unit| 5.0 + 0.2 * (unit - 0.5)).collect();
            of_series(id, temperatures(&values, 0.1))
        })
        .collect();
    let mut group = c.benchmark_group("conclude");
    group.throughput(Throughput::Elements(100_000)).sample_size(20);

    let plain = plan(&ids);
    group.bench_function("estimate", |b| b.iter(|| conclude(black_box(&plain), &observed, &[])));

    let mut full = plan(&ids);
    full.belief = Some(cold_chain());
    full.falsification.axioms = vec![
        bounds("temperature", "Cel", -50.0, 50.0),
        rate("temperature", 2.0, 60 * SECOND),
        agreement("temperature", 3.0),
    ];
    group.bench_function("axioms and belief", |b| b.iter(|| conclude(black_box(&full), &observed, &[])));

    full.falsification.axioms.push(expression("value > -50.0 && others.all(o, o - value < 3.0)"));
    group.bench_function("axioms, belief and an expression", |b| {
        b.iter(|| conclude(black_box(&full), &observed, &[]));
    });
    group.finish();
}

criterion_group!(benches, findings);
criterion_main!(benches);
