//! What a person sees while an inquiry runs: bars on a terminal, lines elsewhere, on standard error either way.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use inquisitor_engine::events::{Event, Observer};
use inquisitor_report::printable;
use inquisitor_runtime::request::{LogLevel, LogLine};

use crate::print;

/// What is worth showing of an inquiry, whether it runs in this process or on a host.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Progress {
    /// Work starts, or goes on.
    Started { steps: usize, recorded: usize },
    /// An attempt at a step starts.
    StepStarted { step: String },
    /// How far a step is, 0 to 1.
    StepAdvanced { step: String, fraction: f64, message: String },
    /// The instrument of a step says something.
    StepLog { step: String, line: String, is_warning: bool },
    /// An attempt failed and another follows.
    StepRetried { step: String, attempt: u32, failure: String, wait_ms: Option<u64> },
    /// A step is recorded. Only the first round of a continuous inquiry counts as one of its steps.
    StepRecorded { step: String, round: u32, readings: usize, failure: Option<String>, took_ms: Option<u64> },
    /// Something to say of the whole inquiry.
    Said(String),
    /// The inquiry has ended.
    Ended,
}

/// Shows what happens, in the way that suits where standard error goes.
#[derive(Clone)]
pub(crate) struct Display(Arc<Kind>);

enum Kind {
    Silent,
    /// One line for each thing that happens.
    Lines,
    Bars(Bars),
}

/// What shows the progress of an inquiry; nothing where `quiet`.
pub(crate) fn display(quiet: bool) -> Display {
    Display(Arc::new(if quiet {
        Kind::Silent
    } else if std::io::stderr().is_terminal() {
        Kind::Bars(Bars::new())
    } else {
        Kind::Lines
    }))
}

impl Display {
    /// Show it.
    pub(crate) fn show(&self, progress: &Progress) {
        match self.0.as_ref() {
            Kind::Silent => {}
            Kind::Lines => {
                if let Some(line) = line(progress) {
                    print::note(&line);
                }
            }
            Kind::Bars(bars) => bars.show(progress),
        }
    }
}

impl Observer for Display {
    fn event(&self, _: &str, event: Event) {
        if let Some(progress) = of_engine(event) {
            self.show(&progress);
        }
    }
}

/// What there is to show of an event of the engine in this process.
fn of_engine(event: Event) -> Option<Progress> {
    Some(match event {
        Event::Started { steps, recorded } => Progress::Started { steps, recorded },
        Event::StepStarted { step, .. } => Progress::StepStarted { step },
        Event::StepProgress { step, fraction, message } => Progress::StepAdvanced { step, fraction, message },
        Event::StepLog { step, line } => {
            Progress::StepLog { step, is_warning: line.level >= LogLevel::Warn, line: log_line(&line) }
        }
        Event::StepRetried { step, attempt, failure, wait_ms } => {
            Progress::StepRetried { step, attempt, failure, wait_ms: Some(wait_ms) }
        }
        Event::StepLost { step, executor, reason, .. } => {
            Progress::Said(format!("{step}: lost with `{executor}`, which ran it: {reason}; trying again"))
        }
        Event::StepRecorded { step, round, readings, failure, took_ms } => Progress::StepRecorded {
            step,
            round,
            readings: readings.unwrap_or(0),
            failure,
            took_ms: Some(took_ms),
        },
        Event::Missed { step, rounds } => {
            Progress::Said(format!("{step}: {rounds} {} missed", plural(rounds as usize, "round")))
        }
        Event::Ended { .. } => Progress::Ended,
        Event::Called { .. } | Event::Updated { .. } => return None,
    })
}

/// A bar over all steps, and below it a line for each step that runs.
struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    running: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let total =
            all.add(ProgressBar::new(0).with_style(style("{bar:30.cyan/dim} {pos}/{len} steps  {elapsed}")));
        Self { all, total, running: Mutex::default() }
    }

    fn show(&self, progress: &Progress) {
        match progress {
            Progress::Started { steps, recorded } => {
                self.total.set_length(*steps as u64);
                self.total.set_position(*recorded as u64);
            }
            Progress::StepStarted { step } => self.start(step),
            Progress::StepAdvanced { step, fraction, message } => {
                self.step(step, |bar| {
                    bar.set_message(format!("{:.0} %  {}", fraction * 100.0, printable(message)));
                });
            }
            Progress::StepRecorded { step, round, failure, .. } => {
                self.finish(step);
                if *round == 0 {
                    self.total.inc(1);
                }
                if failure.is_some() {
                    self.say(progress);
                }
            }
            Progress::StepLog { is_warning: true, .. } => self.say(progress),
            Progress::StepLog { step, line, .. } => self.step(step, |bar| bar.set_message(line.clone())),
            Progress::StepRetried { step, .. } => {
                self.finish(step);
                self.say(progress);
            }
            Progress::Said(_) => self.say(progress),
            Progress::Ended => {
                self.total.finish_and_clear();
                // Where the terminal is gone there is nothing to clear.
                let _ = self.all.clear();
            }
        }
    }

    fn start(&self, step: &str) {
        let bar = self
            .all
            .add(ProgressBar::new_spinner().with_style(style("  {spinner} {prefix} {wide_msg:.dim}")))
            .with_prefix(printable(step).into_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        let before = self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(step.to_owned(), bar);
        if let Some(before) = before {
            before.finish_and_clear();
            self.all.remove(&before);
        }
    }

    fn finish(&self, step: &str) {
        if let Some(bar) = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(step) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    fn step(&self, name: &str, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            change(bar);
        }
    }

    fn say(&self, progress: &Progress) {
        if let Some(line) = line(progress) {
            self.all.suspend(|| print::note(&line));
        }
    }
}

/// How much of a file has gone over, where standard error is a terminal.
pub(crate) fn of_bytes(file: &Path, length: u64, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    ProgressBar::with_draw_target(Some(length), target)
        .with_style(style(
            "{prefix}  {bar:30.cyan/dim} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}",
        ))
        .with_prefix(file.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// A style of a bar. The templates are the program's own; one that did not parse would only lose its looks.
pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// It in a line; none for what says nothing new in print. Names and texts are strangers'.
fn line(progress: &Progress) -> Option<String> {
    let line = match progress {
        Progress::Started { steps, recorded: 0 } => format!("running {steps} {}", plural(*steps, "step")),
        Progress::Started { steps, recorded } => {
            format!("going on: {recorded} of {steps} steps were recorded before")
        }
        Progress::StepStarted { .. } | Progress::Ended => return None,
        Progress::StepAdvanced { step, fraction, message } => {
            format!("{step}: {:.0} % {message}", fraction * 100.0)
        }
        Progress::StepLog { step, line, .. } => format!("{step}: {line}"),
        Progress::StepRetried { step, attempt, failure, wait_ms } => {
            let when = wait_ms.map(|wait| format!(" in {wait} ms")).unwrap_or_default();
            format!("{step}: attempt {attempt} {failure}; trying again{when}")
        }
        Progress::StepRecorded { step, failure: Some(failure), .. } => format!("{step}: {failure}"),
        Progress::StepRecorded { step, readings, took_ms, .. } => {
            let took = took_ms.map(|took| format!(" in {took} ms")).unwrap_or_default();
            format!("{step}: {readings} {}{took}", plural(*readings, "reading"))
        }
        Progress::Said(text) => text.clone(),
    };
    Some(printable(&line).into_owned())
}

/// A log line of an instrument in one line of text.
pub(crate) fn log_line(line: &LogLine) -> String {
    let level = match line.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let attributes: String = line.attributes.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{level}: {}{attributes}", line.message)
}

/// The word in the number that the count asks for.
pub(crate) fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(readings: usize, failure: Option<&str>) -> Progress {
        let (step, failure) = ("a".to_owned(), failure.map(str::to_owned));
        Progress::StepRecorded { step, round: 0, readings, failure, took_ms: Some(3) }
    }

    #[test]
    fn one_reading_is_singular() {
        assert_eq!(line(&recorded(1, None)).as_deref(), Some("a: 1 reading in 3 ms"));
    }

    #[test]
    fn a_failed_step_says_why() {
        assert_eq!(line(&recorded(0, Some("trapped"))).as_deref(), Some("a: trapped"));
    }

    #[test]
    fn what_an_instrument_says_moves_no_cursor() {
        let log = Progress::StepLog { step: "a".into(), line: "info: \u{1b}[2J".into(), is_warning: false };
        assert_eq!(line(&log).as_deref(), Some("a: info: \u{fffd}[2J"));
    }
}
