//! A csv file through a source against the bare csv reader over the same file.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inquisitor_manifest::spec::{Parameters, Substrate};
use inquisitor_substrate::batch::{MAX_BATCH_ROWS, Selection};
use inquisitor_substrate::open;

const ROWS: u64 = 200_000;

/// A log as data loggers write it: a time, a name, three figures.
fn write_log(path: &Path) -> u64 {
    let mut file = BufWriter::new(File::create(path).unwrap());
    writeln!(file, "time,sensor,temperature,humidity,pressure").unwrap();
    for row in 0..ROWS {
        let (minute, second) = (row / 60 % 60, row % 60);
        let temperature = 5.0 + (row % 977) as f64 / 1000.0;
        let humidity = 40.0 + (row % 613) as f64 / 100.0;
        writeln!(
            file,
            "2026-01-01T{:02}:{minute:02}:{second:02}Z,probe-{},{temperature:.3},{humidity:.2},{}",
            row / 3600 % 24,
            row % 4,
            101_325 + row % 100
        )
        .unwrap();
    }
    file.flush().unwrap();
    std::fs::metadata(path).unwrap().len()
}

fn read(path: &Path, columns: &[&str]) -> usize {
    let substrate =
        Substrate::File { path: path.to_str().unwrap().to_owned(), parameters: Parameters::new() };
    let source = open(&substrate, None, [0; 32]).unwrap();
    let selection = Selection {
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        ..Selection::default()
    };
    let mut rows = source.open(&selection).unwrap();
    let mut total = 0;
    while let Some(batch) = rows.next(MAX_BATCH_ROWS).unwrap() {
        total += batch.rows;
        black_box(&batch);
    }
    total
}

fn bare(path: &Path) -> usize {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let mut record = csv::ByteRecord::new();
    let mut total = 0;
    while reader.read_byte_record(&mut record).unwrap() {
        total += 1;
        black_box(&record);
    }
    total
}

fn benchmark(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let bytes = write_log(&path);
    let mut group = criterion.benchmark_group("csv");
    group.throughput(Throughput::Bytes(bytes)).sample_size(20);
    group.bench_function("bare reader", |bencher| bencher.iter(|| bare(&path)));
    group.bench_function("three numbers", |bencher| {
        bencher.iter(|| read(&path, &["temperature", "humidity", "pressure"]));
    });
    group.bench_function("time and a number", |bencher| {
        bencher.iter(|| read(&path, &["time", "temperature"]));
    });
    group.bench_function("all five columns", |bencher| bencher.iter(|| read(&path, &[])));
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
