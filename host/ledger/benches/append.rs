//! Appends to the tree, and the canonical form of an entry.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inquisitor_ledger::{Entry, FORMAT, Frontier, rfc3339};
use serde_json::json;

fn append(criterion: &mut Criterion) {
    let entry = Entry {
        v: FORMAT,
        index: 123_456,
        kind: "step-recorded".into(),
        time: rfc3339(1_700_000_000_000_000_000),
        inquiry: "018f3a3e-5f6b-7c1d-8e2f-001122334455".into(),
        body: json!({ "attempt": 1, "executor": "a", "outcome": "readings", "readings": "ab".repeat(32), "step": 4 })
            .as_object()
            .cloned()
            .unwrap_or_default(),
    };
    let bytes = entry.to_bytes().unwrap_or_default();
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(1));
    group.bench_function("append", |bencher| {
        let mut tree = Frontier::new();
        bencher.iter(|| black_box(tree.append(black_box(&bytes))));
    });
    group.bench_function("append and root", |bencher| {
        let mut tree = Frontier::new();
        bencher.iter(|| {
            tree.append(black_box(&bytes));
            black_box(tree.root())
        });
    });
    group.bench_function("canonical entry", |bencher| bencher.iter(|| black_box(&entry).to_bytes()));
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
