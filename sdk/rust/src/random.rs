//! Random numbers from the host, which records them so that a session can be run again to the same bytes.

use std::convert::Infallible;
use std::rc::Rc;

use rand_core::TryRng;

use crate::host::Host;

/// Bytes fetched from the host at a time, so that most numbers cost no call.
const BUFFER_BYTES: usize = 512;

/// A source of random numbers. Implements the random number traits of `rand_core` 0.10, so that `rand` 0.10 and its
/// distributions work on it.
pub struct Random {
    host: Rc<dyn Host>,
    buffer: Vec<u8>,
    used: usize,
    /// The second number of the last pair that the polar method made.
    spare: Option<f64>,
}

impl Random {
    pub(crate) fn new(host: Rc<dyn Host>) -> Self {
        Self { host, buffer: Vec::new(), used: 0, spare: None }
    }

    /// Fill with random bytes.
    pub fn fill(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.used == self.buffer.len() {
                self.buffer.resize(BUFFER_BYTES, 0);
                self.host.fill_random(&mut self.buffer);
                self.used = 0;
            }
            let count = bytes.len().min(self.buffer.len() - self.used);
            let (now, later) = bytes.split_at_mut(count);
            now.copy_from_slice(&self.buffer[self.used..self.used + count]);
            self.used += count;
            bytes = later;
        }
    }

    /// A random integer, all values equally likely.
    pub fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random number in [0, 1): one of 2^53 that are equally likely.
    pub fn uniform(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A normally distributed number, by the polar method (G. Marsaglia and T. A. Bray, SIAM Review 6, 1964).
    pub fn normal(&mut self, mean: f64, standard_deviation: f64) -> f64 {
        let standard = match self.spare.take() {
            Some(spare) => spare,
            None => loop {
                let x = 2.0 * self.uniform() - 1.0;
                let y = 2.0 * self.uniform() - 1.0;
                let square = x * x + y * y;
                if square > 0.0 && square < 1.0 {
                    let scale = (-2.0 * square.ln() / square).sqrt();
                    self.spare = Some(y * scale);
                    break x * scale;
                }
            },
        };
        mean + standard_deviation * standard
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}
