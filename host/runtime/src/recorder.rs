//! Time and randomness as a session sees them, recorded so that the session can be run again to the same bytes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use inquisitor_substrate::batch::{Batch, ColumnValues};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sha2::{Digest, Sha256};

use crate::outcome::Failure;
use crate::request::{Nondeterminism, Transcript};

/// Readings of each clock that are recorded; a session that reads more often runs on, but its record is not whole.
/// 100,000 of each are 1.6 MB.
pub(crate) const MAX_CLOCK_READINGS: usize = 100_000;

/// Answers of the network that are recorded. Each is a digest of 64 characters.
const MAX_NETWORK_ANSWERS: usize = 10_000;

/// Digests of the network's answers, shared with the bodies that are still being read.
pub(crate) type NetworkAnswers = Arc<Mutex<Vec<String>>>;

/// Where time and randomness come from, and the record of what was given.
pub(crate) struct Recorder {
    source: Nondeterminism,
    opened: Instant,
    random: Option<ChaCha20Rng>,
    batches: Option<Sha256>,
    network: NetworkAnswers,
    record: Transcript,
}

impl Recorder {
    pub(crate) fn new(source: Nondeterminism) -> Self {
        Self {
            source,
            opened: Instant::now(),
            random: None,
            batches: None,
            network: NetworkAnswers::default(),
            record: Transcript { complete: true, ..Transcript::default() },
        }
    }

    /// Whether an earlier session is run again: the world outside is closed then.
    pub(crate) fn replays(&self) -> bool {
        matches!(self.source, Nondeterminism::Recorded(_))
    }

    /// The wall clock, nanoseconds since the Unix epoch.
    pub(crate) fn wall_clock(&mut self) -> Result<i64, Failure> {
        self.wall_value(wall_now)
    }

    /// A wall-clock value that the host computes, recorded like a reading of the clock.
    pub(crate) fn wall_value(&mut self, live: impl FnOnce() -> i64) -> Result<i64, Failure> {
        let position = self.record.wall_clock.len();
        let value = match &self.source {
            Nondeterminism::Recorded(transcript) => {
                *transcript.wall_clock.get(position).ok_or_else(|| diverged("the wall clock", position))?
            }
            Nondeterminism::Live | Nondeterminism::Seeded(_) => live(),
        };
        if position < MAX_CLOCK_READINGS {
            self.record.wall_clock.push(value);
        } else {
            self.record.complete = false;
        }
        Ok(value)
    }

    /// The monotonic clock, nanoseconds since the session was opened.
    pub(crate) fn monotonic_clock(&mut self) -> Result<u64, Failure> {
        let position = self.record.monotonic_clock.len();
        let value = match &self.source {
            Nondeterminism::Recorded(transcript) => *transcript
                .monotonic_clock
                .get(position)
                .ok_or_else(|| diverged("the monotonic clock", position))?,
            Nondeterminism::Live | Nondeterminism::Seeded(_) => {
                u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX)
            }
        };
        if position < MAX_CLOCK_READINGS {
            self.record.monotonic_clock.push(value);
        } else {
            self.record.complete = false;
        }
        Ok(value)
    }

    /// The generator that all random bytes come from, made when it is first asked for.
    pub(crate) fn random(&mut self) -> &mut impl Rng {
        if self.random.is_none() {
            self.record.seed = match &self.source {
                Nondeterminism::Live => rand::random(),
                Nondeterminism::Seeded(seed) => *seed,
                Nondeterminism::Recorded(transcript) => transcript.seed,
            };
        }
        let seed = self.record.seed;
        self.random.get_or_insert_with(|| ChaCha20Rng::from_seed(seed))
    }

    /// The guest did what a record of clocks and randomness does not hold.
    pub(crate) fn incomplete(&mut self) {
        self.record.complete = false;
    }

    /// Where digests of the network's answers go.
    pub(crate) fn network(&self) -> NetworkAnswers {
        Arc::clone(&self.network)
    }

    /// The guest pulled a batch.
    pub(crate) fn batch(&mut self, batch: &Batch) {
        digest_batch(self.batches.get_or_insert_with(Sha256::new), batch);
    }

    /// The record so far.
    pub(crate) fn transcript(&self) -> Transcript {
        let mut record = self.record.clone();
        if let Some(batches) = &self.batches {
            record.substrate_digest = hex::encode(batches.clone().finalize());
        }
        record.network = self.network.lock().unwrap_or_else(PoisonError::into_inner).clone();
        record
    }
}

/// The wall clock of the host, nanoseconds since the Unix epoch.
pub(crate) fn wall_now() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanoseconds| -nanoseconds)
        }
    }
}

fn diverged(what: &str, position: usize) -> Failure {
    Failure::Host {
        message: format!(
            "the replay differs from the record: the guest read {what} more than the {position} times recorded"
        ),
    }
}

/// Keep the digest of one answer of the network.
pub(crate) fn push_answer(answers: &NetworkAnswers, digest: String) {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    if answers.len() < MAX_NETWORK_ANSWERS {
        answers.push(digest);
    }
}

/// Feed a batch to a digest: position, rows, and column by column a letter for the type, the values in little-endian form
/// (texts and bytes with their length before them), and the presence bits.
fn digest_batch(hash: &mut Sha256, batch: &Batch) {
    hash.update(batch.first_row.to_le_bytes());
    hash.update((batch.rows as u64).to_le_bytes());
    hash.update((batch.columns.len() as u64).to_le_bytes());
    for column in &batch.columns {
        match &column.values {
            ColumnValues::Number(values) => words(hash, b'n', values, f64::to_le_bytes),
            ColumnValues::Integer(values) => words(hash, b'i', values, i64::to_le_bytes),
            ColumnValues::Timestamp(values) => words(hash, b't', values, i64::to_le_bytes),
            ColumnValues::Boolean(values) => {
                hash.update(b"b");
                let bytes: Vec<u8> = values.iter().map(|value| u8::from(*value)).collect();
                hash.update(&bytes);
            }
            ColumnValues::Text(values) => {
                hash.update(b"s");
                for value in values {
                    hash.update((value.len() as u64).to_le_bytes());
                    hash.update(value.as_bytes());
                }
            }
            ColumnValues::Bytes(values) => {
                hash.update(b"y");
                for value in values {
                    hash.update((value.len() as u64).to_le_bytes());
                    hash.update(value);
                }
            }
        }
        match &column.present {
            None => hash.update([0]),
            Some(bits) => {
                hash.update([1]);
                hash.update(bits);
            }
        }
    }
}

/// Words of eight bytes in blocks of eight of the hash's own.
fn words<T: Copy>(hash: &mut Sha256, letter: u8, values: &[T], bytes: impl Fn(T) -> [u8; 8]) {
    const WORDS: usize = 64;
    hash.update([letter]);
    let mut block = [0_u8; WORDS * 8];
    for chunk in values.chunks(WORDS) {
        for (slot, value) in block.chunks_exact_mut(8).zip(chunk) {
            slot.copy_from_slice(&bytes(*value));
        }
        hash.update(&block[..chunk.len() * 8]);
    }
}

#[cfg(test)]
mod tests {
    use inquisitor_substrate::batch::Column;

    use super::*;

    #[test]
    fn what_was_recorded_is_given_again() {
        let mut live = Recorder::new(Nondeterminism::Live);
        let times = [live.wall_clock().unwrap(), live.wall_clock().unwrap()];
        let ticks = live.monotonic_clock().unwrap();
        let drawn = live.random().next_u64();
        let transcript = live.transcript();
        assert!(transcript.complete);

        let mut replay = Recorder::new(Nondeterminism::Recorded(Arc::new(transcript.clone())));
        assert_eq!([replay.wall_clock().unwrap(), replay.wall_clock().unwrap()], times);
        assert_eq!(replay.monotonic_clock().unwrap(), ticks);
        assert_eq!(replay.random().next_u64(), drawn);
        assert_eq!(replay.transcript(), transcript);
        assert!(matches!(replay.wall_clock(), Err(Failure::Host { message }) if message.contains("differs")));
    }

    #[test]
    fn a_seed_decides_the_bytes() {
        let draw = |seed| Recorder::new(Nondeterminism::Seeded(seed)).random().next_u64();
        assert_eq!(draw([1; 32]), draw([1; 32]));
        assert_ne!(draw([1; 32]), draw([2; 32]));
    }

    #[test]
    fn a_clock_read_too_often_is_not_whole() {
        let mut recorder = Recorder::new(Nondeterminism::Live);
        for _ in 0..=MAX_CLOCK_READINGS {
            recorder.monotonic_clock().unwrap();
        }
        let transcript = recorder.transcript();
        assert!(!transcript.complete);
        assert_eq!(transcript.monotonic_clock.len(), MAX_CLOCK_READINGS);
    }

    #[test]
    fn every_part_of_a_batch_changes_its_digest() {
        let batch = |first_row, values: Vec<f64>, present: Option<Vec<u8>>| {
            let rows = values.len();
            let columns = vec![Column { values: ColumnValues::Number(values), present }];
            let mut recorder = Recorder::new(Nondeterminism::Live);
            recorder.batch(&Batch { first_row, rows, columns });
            recorder.transcript().substrate_digest
        };
        let base = batch(0, vec![1.0, 2.0], None);
        assert_eq!(base, batch(0, vec![1.0, 2.0], None));
        assert_ne!(base, batch(1, vec![1.0, 2.0], None));
        assert_ne!(base, batch(0, vec![1.0, 3.0], None));
        assert_ne!(base, batch(0, vec![1.0, 2.0], Some(vec![3])));
        assert_eq!(Recorder::new(Nondeterminism::Live).transcript().substrate_digest, "");
    }
}
