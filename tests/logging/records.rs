//! The records of this library, for one test at a time: a program has one logger.

use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};

/// One record: level, target, message.
pub type Line = (Level, String, String);

/// What is recorded while it lives.
pub struct Records {
    logger: &'static Logger,
    _turn: MutexGuard<'static, ()>,
}

struct Logger {
    lines: Mutex<Vec<Line>>,
    changed: Condvar,
}

static LOGGER: Logger = Logger { lines: Mutex::new(Vec::new()), changed: Condvar::new() };
static ONE_TEST: Mutex<()> = Mutex::new(());

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with("ray_client")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let line = (record.level(), record.target().to_owned(), record.args().to_string());
            self.lines.lock().unwrap().push(line);
            self.changed.notify_all();
        }
    }

    fn flush(&self) {}
}

impl Records {
    /// Waits for its turn.
    pub fn begin() -> Records {
        static SET: Once = Once::new();
        SET.call_once(|| {
            log::set_logger(&LOGGER).unwrap();
            log::set_max_level(LevelFilter::Trace);
        });
        let turn = ONE_TEST.lock().unwrap_or_else(PoisonError::into_inner);
        LOGGER.lines.lock().unwrap().clear();
        Records { logger: &LOGGER, _turn: turn }
    }

    pub fn all(&self) -> Vec<Line> {
        self.logger.lines.lock().unwrap().clone()
    }

    /// The messages of this level and target, in their order.
    pub fn of(&self, level: Level, target: &str) -> Vec<String> {
        let lines = self.all().into_iter();
        lines.filter(|line| line.0 == level && line.1 == target).map(|line| line.2).collect()
    }

    /// Waits for a record that contains this.
    pub fn wait_for(&self, level: Level, part: &str) -> String {
        let find = |lines: &[Line]| {
            lines.iter().find(|line| line.0 == level && line.2.contains(part)).map(|l| l.2.clone())
        };
        let lines = self.logger.lines.lock().unwrap();
        let limit = Duration::from_secs(20);
        let (lines, _) = self
            .logger
            .changed
            .wait_timeout_while(lines, limit, |lines| find(lines).is_none())
            .unwrap();
        let (found, all) = (find(&lines), lines.clone());
        drop(lines);
        found.unwrap_or_else(|| panic!("no {level} with {part:?} in {all:#?}"))
    }
}
