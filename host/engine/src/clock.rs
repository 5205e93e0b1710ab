//! What time it is, for schedules.

/// Where schedules take the time from.
pub(crate) enum Clock {
    /// The system's clock, so that every member means the same moment.
    Wall,
    /// The timer's clock, set to a moment at its start: tests pause it.
    #[cfg(test)]
    Timer { epoch: i64, start: tokio::time::Instant },
}

impl Clock {
    /// Nanoseconds since the Unix epoch.
    pub(crate) fn now(&self) -> i64 {
        match self {
            Self::Wall => crate::now(),
            #[cfg(test)]
            Self::Timer { epoch, start } => {
                epoch + i64::try_from(start.elapsed().as_nanos()).expect("a test of less than 292 years")
            }
        }
    }
}
