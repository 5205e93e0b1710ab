//! Log lines to the bench whose instrument runs on this thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Once;

use crate::logging::{LogLine, MAX_LEVEL};

pub(super) type Lines = Rc<RefCell<Vec<LogLine>>>;

thread_local! {
    static LINES: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// Install the logger of this process, if the test has not installed its own.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&Logger).is_ok() {
            log::set_max_level(MAX_LEVEL);
        }
    });
}

/// From now on, lines of this thread go here.
pub(super) fn capture(lines: Lines) {
    LINES.set(Some(lines));
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = LogLine::from(record);
        LINES.with_borrow(|lines| {
            if let Some(lines) = lines {
                lines.borrow_mut().push(line);
            }
        });
    }

    fn flush(&self) {}
}
