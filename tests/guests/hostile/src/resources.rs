//! Takes more than its share: time, memory, stack, calls, handles.

use std::hint::black_box;

use wasip2::cli::stdout::get_stdout;
use wasip2::clocks::monotonic_clock;
use wasip2::io::poll;
use wasip2::random::random::get_random_bytes;

use crate::bindings::inquisitor::instrument::context::{self, Level};
use crate::bindings::inquisitor::instrument::state;
use crate::bindings::inquisitor::instrument::types::Error;

pub fn endless_loop() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

pub fn compute(turns: u64) -> f64 {
    let mut sum = 0.0;
    for turn in 0..turns {
        sum = black_box(sum + turn as f64);
    }
    sum
}

pub fn memory_bomb() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Ask for more than there is, and get over it.
pub fn memory_recover() -> usize {
    let mut bytes: Vec<u8> = Vec::new();
    let refused = bytes.try_reserve_exact(1 << 30).is_err();
    black_box(&mut bytes);
    usize::from(refused)
}

#[inline(never)]
pub fn stack_overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == 0 { 0 } else { stack_overflow(depth + 1) + black_box(&frame)[1] }
}

pub fn log_flood(count: u64) -> Result<(), Error> {
    for line in 0..count {
        context::log(Level::Info, &format!("line {line} of a flood"), &[]);
    }
    Ok(())
}

pub fn log_huge() -> Result<(), Error> {
    context::log(Level::Info, &"\u{1b}[31mx".repeat(200_000), &[]);
    Ok(())
}

pub fn argument_huge(bytes: u64) -> Result<(), Error> {
    context::log(Level::Info, &"x".repeat(bytes as usize), &[]);
    Ok(())
}

pub fn host_call_flood(count: u64) -> Result<(), Error> {
    for _ in 0..count {
        black_box(context::cancelled());
    }
    Ok(())
}

pub fn stdout(lines: u64) -> Result<(), Error> {
    let stream = get_stdout();
    for line in 0..lines {
        let text = format!("stdout {line}\n");
        stream
            .blocking_write_and_flush(text.as_bytes())
            .map_err(|error| Error::Failed(format!("{error:?}")))?;
    }
    Ok(())
}

pub fn pollables(count: u64) -> Result<(), Error> {
    let hoard: Vec<_> = (0..count).map(|_| monotonic_clock::subscribe_duration(1_000_000_000)).collect();
    black_box(&hoard);
    Ok(())
}

pub fn sleep(milliseconds: u64) -> Result<(), Error> {
    let timer = monotonic_clock::subscribe_duration(milliseconds.saturating_mul(1_000_000));
    poll::poll(&[&timer]);
    Ok(())
}

pub fn random_huge(bytes: u64) -> usize {
    get_random_bytes(bytes).len()
}

/// Works until it is told to stop.
pub fn ask_cancelled<T>() -> Result<T, Error> {
    while !context::cancelled() {
        let timer = monotonic_clock::subscribe_duration(1_000_000);
        timer.block();
    }
    Err(Error::Failed("told to stop".to_owned()))
}

/// The bound that the host names, or zero where it took the bytes.
pub fn state_huge(bytes: u64) -> u64 {
    match state::store(&vec![7; bytes as usize]) {
        Ok(()) => 0,
        Err(state::StateError::TooLarge(bound)) => bound,
    }
}
