//! What a person sees while an inquiry runs: bars on a terminal, lines elsewhere, on standard error either way.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use inquisitor_engine::events::{Event, Observer, Silent};
use inquisitor_runtime::request::{LogLevel, LogLine};

use crate::print;

/// The observer that suits where standard error goes.
pub(crate) fn observer(quiet: bool) -> Arc<dyn Observer> {
    if quiet {
        Arc::new(Silent)
    } else if std::io::stderr().is_terminal() {
        Arc::new(Bars::new())
    } else {
        Arc::new(Lines)
    }
}

/// One line for each thing that happens.
struct Lines;

impl Observer for Lines {
    fn event(&self, _: &str, event: Event) {
        if let Some(line) = line(&event) {
            print::note(&line);
        }
    }
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

    fn step(&self, name: &str, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            change(bar);
        }
    }
}

impl Observer for Bars {
    fn event(&self, _: &str, event: Event) {
        match &event {
            Event::Started { steps, recorded } => {
                self.total.set_length(*steps as u64);
                self.total.set_position(*recorded as u64);
            }
            Event::StepStarted { step, .. } => {
                let bar = self.all.add(
                    ProgressBar::new_spinner().with_style(style("  {spinner} {prefix} {wide_msg:.dim}")),
                );
                bar.set_prefix(step.clone());
                bar.enable_steady_tick(Duration::from_millis(100));
                self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(step.clone(), bar);
            }
            Event::StepProgress { step, fraction, message } => {
                self.step(step, |bar| bar.set_message(format!("{:.0} %  {message}", fraction * 100.0)));
            }
            Event::StepRecorded { step, failure, .. } => {
                if let Some(bar) = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(step) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
                self.total.inc(1);
                if failure.is_some() {
                    self.say(&event);
                }
            }
            Event::StepLog { line, .. } if line.level >= LogLevel::Warn => self.say(&event),
            Event::StepLog { step, line } => self.step(step, |bar| bar.set_message(line.message.clone())),
            Event::StepRetried { .. } => self.say(&event),
            Event::Called { .. } | Event::Missed { .. } | Event::Updated { .. } => {}
            Event::Ended { .. } => {
                self.total.finish_and_clear();
                // Where the terminal is gone there is nothing to clear.
                let _ = self.all.clear();
            }
        }
    }
}

impl Bars {
    fn say(&self, event: &Event) {
        if let Some(line) = line(event) {
            self.all.suspend(|| print::note(&line));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are this file's own; one that did not parse would only lose its looks.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The event in a line; none for those that say nothing new in print.
fn line(event: &Event) -> Option<String> {
    match event {
        Event::Started { steps, recorded: 0 } => Some(format!("running {steps} {}", plural(*steps, "step"))),
        Event::Started { steps, recorded } => {
            Some(format!("going on: {recorded} of {steps} steps were recorded before"))
        }
        Event::StepStarted { .. } | Event::Called { .. } | Event::Updated { .. } | Event::Ended { .. } => {
            None
        }
        Event::Missed { step, rounds } => Some(format!("{step}: {rounds} rounds were missed")),
        Event::StepProgress { step, fraction, message } => {
            Some(format!("{step}: {:.0} % {message}", fraction * 100.0))
        }
        Event::StepLog { step, line } => Some(format!("{step}: {}", log_line(line))),
        Event::StepRetried { step, attempt, failure, wait_ms } => {
            Some(format!("{step}: attempt {attempt} {failure}; trying again in {wait_ms} ms"))
        }
        Event::StepRecorded { step, failure: Some(failure), .. } => Some(format!("{step}: {failure}")),
        Event::StepRecorded { step, readings, took_ms, .. } => {
            let readings = readings.unwrap_or(0);
            Some(format!("{step}: {readings} {} in {took_ms} ms", plural(readings, "reading")))
        }
    }
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

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_is_singular() {
        let event =
            Event::StepRecorded { step: "a".into(), round: 0, readings: Some(1), failure: None, took_ms: 3 };
        assert_eq!(line(&event).as_deref(), Some("a: 1 reading in 3 ms"));
    }

    #[test]
    fn a_failed_step_says_why() {
        let event = Event::StepRecorded {
            step: "a".into(),
            round: 0,
            readings: None,
            failure: Some("trapped".into()),
            took_ms: 3,
        };
        assert_eq!(line(&event).as_deref(), Some("a: trapped"));
    }
}
