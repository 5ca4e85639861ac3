//! Verifies that `FileSource` delivers a growing file completely, or ends with an error.
//!
//! A model of the dashboard serves the file. The logs repeat, burst, and write progress bars.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::dashboard::{FileServer, MAX_LAST_LINES};
use super::file::FileSource;
use super::{Delivered, LogSource, ReadOutcome, TailError, TailResult};
use crate::ClientError;
use crate::rng::TestRng;

/// A dashboard that serves one file. Some responses are cut, but look complete.
#[derive(Clone)]
struct Model {
    file: Arc<Mutex<File>>,
    /// How long the start of a full read takes.
    slow: Duration,
    /// The size of last lines for which a poll takes too long.
    max_poll: usize,
}

struct File {
    bytes: Vec<u8>,
    rng: TestRng,
    /// One in this many responses is cut. 0 cuts none.
    cuts: usize,
    sent: u64,
}

impl File {
    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        let is_cut = self.cuts > 0 && self.rng.below(self.cuts) == 0;
        let length = if is_cut { self.rng.below(bytes.len() + 1) } else { bytes.len() };
        self.sent += length as u64;
        bytes[..length].to_vec()
    }
}

impl Model {
    fn of(file: File) -> Self {
        Self { file: Arc::new(Mutex::new(file)), slow: Duration::ZERO, max_poll: usize::MAX }
    }

    /// Serves this file, and cuts no response.
    fn whole(bytes: Vec<u8>) -> Self {
        Self::of(File { bytes, rng: TestRng(1), cuts: 0, sent: 0 })
    }
}

impl FileServer for Model {
    type Reading = (Vec<u8>, usize);

    fn operation(&self) -> &'static str {
        "model"
    }

    fn open(&self) -> TailResult<Self::Reading> {
        std::thread::sleep(self.slow);
        let mut file = self.file.lock().unwrap();
        let bytes = file.bytes.clone();
        Ok((file.send(&bytes), 0))
    }

    fn read(&self, (bytes, at): &mut Self::Reading, piece: &mut [u8]) -> TailResult<usize> {
        let length = piece.len().min(bytes.len() - *at);
        piece[..length].copy_from_slice(&bytes[*at..*at + length]);
        *at += length;
        Ok(length)
    }

    fn last_lines(&self, lines: u64) -> TailResult<Option<Vec<u8>>> {
        let mut file = self.file.lock().unwrap();
        let end = file.bytes.len() - usize::from(file.bytes.ends_with(b"\n"));
        let mut newlines = memchr::memrchr_iter(b'\n', &file.bytes[..end]);
        let start = newlines.nth(usize::try_from(lines).unwrap() - 1).map_or(0, |at| at + 1);
        let last = file.bytes[start..].to_vec();
        if last.len() > self.max_poll {
            return Err(TailError::Broken(ClientError::timeout("model: slow")));
        }
        if last.len() > MAX_LAST_LINES {
            return Ok(None);
        }
        Ok(Some(file.send(&last)))
    }
}

/// Returns the bytes of one write of the job.
fn written(shape: usize, rng: &mut TestRng, count: &mut usize, block: &[u8]) -> Vec<u8> {
    let mut line = |text: &str| {
        *count += 1;
        format!("{text} {count}\n").into_bytes()
    };
    match shape {
        // The same line, forever.
        0 => b"the same line\n".repeat(rng.below(200)),
        // Bursts of the same block.
        1 => block.repeat(rng.below(4)),
        // Parts of the same block.
        2 => block[..rng.below(block.len() + 1)].to_vec(),
        // Different lines.
        3 => (0..rng.below(60)).flat_map(|_| line("step")).collect(),
        // Different lines between equal ones.
        4 => [&b"=====\nepoch\n=====\n"[..], &line("loss")].concat().repeat(1 + rng.below(3)),
        // A progress bar, without newlines.
        5 => (0..rng.below(30)).flat_map(|n| format!("{n}%\r").into_bytes()).collect(),
        // Random text of a few letters.
        6 => (0..rng.below(300)).map(|_| *rng.pick(b"ab\n")).collect(),
        // A mixture of these.
        _ => {
            let other = rng.below(7);
            written(other, rng, count, block)
        }
    }
}

/// Follows one log to its end, and returns the file, the delivered bytes and the result.
fn follow(seed: u64, block_length: usize, cuts: usize) -> (File, Vec<u8>, Result<(), ClientError>) {
    let mut rng = TestRng(seed);
    let shape = rng.below(8);
    let block: Vec<u8> = (0..block_length)
        .map(|n| if n + 1 == block_length { b'\n' } else { *rng.pick(b"abcdefgh \n") })
        .collect();
    let mut count = 0;
    let bytes = written(shape, &mut rng, &mut count, &block);
    let file = File { bytes, rng: rng.clone(), cuts, sent: 0 };
    let model = Model::of(file);
    let mut delivered = Delivered::from(0);
    let mut out = Vec::new();
    let mut source = FileSource::new(model.clone(), &delivered);
    let mut growths = 1 + rng.below(12);
    let mut is_over = false;
    let mut breaks = 0;
    let end = loop {
        match source.read(&delivered) {
            Ok(ReadOutcome::Data { bytes, .. } | ReadOutcome::Message(bytes)) => {
                delivered.push(&bytes);
                out.extend(bytes);
            }
            Ok(ReadOutcome::Continue) => {}
            // The file must not grow meanwhile: its content would depend on the speed of the machine.
            Ok(ReadOutcome::NotBefore(_)) => source.skip_pauses(),
            Ok(ReadOutcome::Complete) => break Ok(()),
            Ok(_) if growths > 0 => {
                growths -= 1;
                let more = written(shape, &mut rng, &mut count, &block);
                model.file.lock().unwrap().bytes.extend(more);
            }
            Ok(_) => {
                is_over = true;
                source.nothing_more_is_written();
            }
            Err(TailError::Broken(_)) if breaks < 20 => {
                breaks += 1;
                source = FileSource::new(model.clone(), &delivered);
                if is_over {
                    source.nothing_more_is_written();
                }
            }
            Err(cause) => break Err(cause.into_error()),
        }
    };
    drop(source);
    let file = Arc::into_inner(model.file).unwrap().into_inner().unwrap();
    (file, out, end)
}

/// Returns how many logs were delivered completely. Panics if an incomplete one ends without an error.
///
/// Nothing can tell a cut log from a complete one if several responses are cut at the same byte. With one
/// cut in four responses, this hits about 2 in 100,000 logs, all below 1 KB, but none of these seeds.
fn complete(
    seeds: std::ops::Range<usize>,
    block_length: impl Fn(usize) -> usize,
    cuts: usize,
) -> usize {
    let mut complete = 0;
    for seed in seeds {
        let (file, out, end) = follow(seed as u64, block_length(seed), cuts);
        if end.is_ok() {
            assert!(out == file.bytes, "seed {seed}: {} of {}", out.len(), file.bytes.len());
            complete += 1;
        }
    }
    complete
}

#[test]
fn growing_log_is_complete_or_an_error() {
    let complete = complete(0..10_000, |seed| 2 + seed % 1500, 0);
    assert!(complete > 9_250, "{complete} of 10000");
}

#[test]
fn log_with_cut_responses_is_complete_or_an_error() {
    let complete = complete(0..10_000, |seed| 2 + seed % 1500, 4);
    assert!(complete > 7_500, "{complete} of 10000");
}

#[test]
fn repeated_block_of_a_megabyte_is_complete_or_an_error() {
    complete(0..20, |_| 1024 * 1024, 0);
    complete(0..20, |seed| 1024 * 1024 + 1000 * seed, 8);
}

#[test]
fn different_lines_are_transferred_little_more_than_twice() {
    let model = Model::whole(Vec::new());
    let mut delivered = Delivered::from(0);
    let mut source = FileSource::new(model.clone(), &delivered);
    let mut polls = 0;
    for round in 0..500 {
        let lines =
            (0..50).flat_map(|n| format!("{round} {n} of a log of many lines\n").into_bytes());
        model.file.lock().unwrap().bytes.extend(lines);
        loop {
            polls += 1;
            match source.read(&delivered).unwrap() {
                ReadOutcome::Data { bytes, is_up_to_date } => {
                    delivered.push(&bytes);
                    if is_up_to_date {
                        break;
                    }
                }
                ReadOutcome::Continue => {}
                ReadOutcome::NotBefore(_) => source.skip_pauses(),
                _ => break,
            }
        }
    }
    source.nothing_more_is_written();
    while !matches!(source.read(&delivered).unwrap(), ReadOutcome::Complete) {}
    let file = model.file.lock().unwrap();
    assert_eq!(delivered.position(), file.bytes.len() as u64);
    let small_poll = 8 * 1024;
    let most = file.bytes.len() as u64 * 5 / 2 + polls * small_poll;
    assert!(file.sent <= most, "{} of {}", file.sent, file.bytes.len());
}

#[test]
fn a_steadily_growing_log_is_polled_without_full_reads_and_pauses() {
    const INTERVAL: Duration = Duration::from_millis(50);
    for bytes_per_second in [100_000, 1_000_000, 4_000_000] {
        let (model, mut source, mut delivered) = up_to_date(numbered(0..1000));
        let mut lines = 1000;
        let mut polls = 0;
        // Of the log's time.
        let mut left = Duration::from_secs(20);
        while !left.is_zero() {
            let pause = match source.read(&delivered).unwrap() {
                ReadOutcome::Data { bytes, .. } => {
                    delivered.push(&bytes);
                    INTERVAL
                }
                ReadOutcome::NotBefore(time) => {
                    source.skip_pauses();
                    time.saturating_duration_since(Instant::now())
                }
                ReadOutcome::Continue => Duration::ZERO,
                _ => INTERVAL,
            };
            assert!(pause <= INTERVAL * 2, "{bytes_per_second}: {pause:?}");
            polls += 1;
            left = left.saturating_sub(pause);
            let new = bytes_per_second * pause.as_millis() as usize / 1000 / 30;
            model.file.lock().unwrap().bytes.extend(numbered(lines..lines + new));
            lines += new;
        }
        let file = model.file.lock().unwrap();
        let most = file.bytes.len() as u64 * 7 / 4 + polls * 8 * 1024;
        assert!(file.sent <= most, "{bytes_per_second}: {} of {}", file.sent, file.bytes.len());
    }
}

#[test]
fn burst_of_lines_needs_no_full_read() {
    let (model, mut source, mut delivered) = up_to_date(numbered(0..100_000));
    model.file.lock().unwrap().bytes.extend(numbered(100_000..105_000));
    model.file.lock().unwrap().sent = 0;
    while delivered.position() < model.file.lock().unwrap().bytes.len() as u64 {
        match source.read(&delivered).unwrap() {
            ReadOutcome::Data { bytes, .. } => delivered.push(&bytes),
            ReadOutcome::Continue => {}
            _ => panic!("the source waits although the file has more bytes"),
        }
    }
    let file = model.file.lock().unwrap();
    assert!(file.sent < file.bytes.len() as u64 / 2, "{} of {}", file.sent, file.bytes.len());
}

/// Reads until the source has nothing new or must wait. Returns that outcome.
fn read_up_to_date(source: &mut FileSource<Model>, delivered: &mut Delivered) -> ReadOutcome {
    loop {
        match source.read(delivered).unwrap() {
            ReadOutcome::Data { bytes, .. } => delivered.push(&bytes),
            ReadOutcome::Continue => {}
            outcome => return outcome,
        }
    }
}

/// Reads until the source has nothing new, and skips its pauses. Returns the longest of them.
fn read_with_pauses(source: &mut FileSource<Model>, delivered: &mut Delivered) -> Duration {
    let mut longest = Duration::ZERO;
    while let ReadOutcome::NotBefore(time) = read_up_to_date(source, delivered) {
        longest = longest.max(time.saturating_duration_since(Instant::now()));
        source.skip_pauses();
    }
    longest
}

/// A source that has read this whole file, and what it has delivered.
fn up_to_date(bytes: Vec<u8>) -> (Model, FileSource<Model>, Delivered) {
    let model = Model::whole(bytes);
    let mut delivered = Delivered::from(0);
    let mut source = FileSource::new(model.clone(), &delivered);
    assert!(matches!(read_up_to_date(&mut source, &mut delivered), ReadOutcome::UpToDate));
    (model, source, delivered)
}

fn numbered(lines: std::ops::Range<usize>) -> Vec<u8> {
    lines.flat_map(|n| format!("{n} of a log of many lines\n").into_bytes()).collect()
}

#[test]
fn a_backlog_is_not_read_like_a_repeating_log() {
    const SLOW: Duration = Duration::from_millis(100);
    // Older lines are longer, so that a poll returns more than expected.
    let long = |lines: std::ops::Range<usize>| -> Vec<u8> {
        lines.flat_map(|n| format!("{n} {}\n", "of a traceback ".repeat(9)).into_bytes()).collect()
    };
    // Less and more than a poll may transfer, in a log that is longer or shorter than that.
    for (before, new) in [(100_000, 20_000), (100_000, 80_000), (20_000, 80_000), (300, 10_000)] {
        let model = Model { slow: SLOW, ..Model::whole(long(0..before)) };
        let mut delivered = Delivered::from(0);
        let mut source = FileSource::new(model.clone(), &delivered);
        assert!(matches!(read_up_to_date(&mut source, &mut delivered), ReadOutcome::UpToDate));
        let backlog = [long(before..before + new / 2), numbered(0..new)].concat();
        model.file.lock().unwrap().bytes.extend(backlog);
        let pause = read_with_pauses(&mut source, &mut delivered);
        assert!(pause < SLOW * 10, "{before}, {new}: {pause:?}");
        assert_eq!(delivered.position(), model.file.lock().unwrap().bytes.len() as u64);
    }
}

#[test]
fn a_backlog_that_takes_longer_than_a_poll_is_read_whole() {
    let model = Model { max_poll: 100_000, ..Model::whole(numbered(0..100_000)) };
    let mut delivered = Delivered::from(0);
    let mut source = FileSource::new(model.clone(), &delivered);
    assert!(matches!(read_up_to_date(&mut source, &mut delivered), ReadOutcome::UpToDate));
    model.file.lock().unwrap().bytes.extend(numbered(100_000..150_000));
    read_with_pauses(&mut source, &mut delivered);
    assert_eq!(delivered.position(), model.file.lock().unwrap().bytes.len() as u64);
}

/// A log of the same line that is larger than what the source keeps.
fn repeating() -> Vec<u8> {
    b"the same line for ever\n".repeat(100_000)
}

#[test]
fn full_reads_of_a_repeating_log_take_a_twentieth_of_the_time() {
    const SLOW: Duration = Duration::from_millis(100);
    let model = Model { slow: SLOW, ..Model::whole(repeating()) };
    let mut delivered = Delivered::from(0);
    let mut source = FileSource::new(model, &delivered);
    let begun = Instant::now();
    assert!(matches!(read_up_to_date(&mut source, &mut delivered), ReadOutcome::UpToDate));
    let outcome = read_up_to_date(&mut source, &mut delivered);
    let ReadOutcome::NotBefore(time) = outcome else { panic!("{outcome:?}") };
    assert!(time - begun >= SLOW * 20, "{:?}", time - begun);
}

#[test]
fn the_time_of_a_slow_caller_does_not_count_as_reading() {
    const PAUSE: Duration = Duration::from_millis(20);
    // Long enough that the pause is not over before it is seen.
    let model = Model { slow: Duration::from_millis(100), ..Model::whole(repeating()) };
    let mut delivered = Delivered::from(0);
    let mut source = FileSource::new(model, &delivered);
    let mut callers_time = Duration::ZERO;
    loop {
        match source.read(&delivered).unwrap() {
            ReadOutcome::Data { bytes, .. } => {
                delivered.push(&bytes);
                std::thread::sleep(PAUSE);
                callers_time += PAUSE;
            }
            ReadOutcome::Continue => {}
            _ => break,
        }
    }
    let now = Instant::now();
    let outcome = read_up_to_date(&mut source, &mut delivered);
    let ReadOutcome::NotBefore(time) = outcome else { panic!("{outcome:?}") };
    assert!(time < now + callers_time * 10, "{:?}", time - now);
}

#[test]
fn a_long_line_without_an_end_is_not_read_at_full_speed() {
    const BAR: usize = 200 * 1024;
    let bar: Vec<u8> = (0..BAR / 8).flat_map(|n| format!("{n:06}%\r").into_bytes()).collect();
    let (model, mut source, mut delivered) = up_to_date(bar);
    model.file.lock().unwrap().bytes.extend(b"100000%\r");
    let now = Instant::now();
    let outcome = read_up_to_date(&mut source, &mut delivered);
    let ReadOutcome::NotBefore(time) = outcome else { panic!("{outcome:?}") };
    let pause = time - now;
    assert!(pause >= Duration::from_millis(190) && pause < Duration::from_secs(2), "{pause:?}");
}

#[test]
fn last_lines_larger_than_the_read_ahead_are_delivered() {
    let model = Model::whole(numbered(0..400_000));
    let mut source = FileSource::new(model.clone(), &Delivered::from(0));
    let start = source.start_of_last_lines(390_000).unwrap();
    assert_eq!(start, numbered(0..10_000).len() as u64);
    model.file.lock().unwrap().bytes.extend(numbered(400_000..400_010));
    let mut delivered = Delivered::from(start);
    let mut out = Vec::new();
    loop {
        match source.read(&delivered).unwrap() {
            ReadOutcome::Data { bytes, .. } => {
                delivered.push(&bytes);
                out.extend(bytes);
            }
            ReadOutcome::Continue => {}
            _ => break,
        }
    }
    assert!(out == numbered(10_000..400_010), "{} bytes", out.len());
}

#[test]
fn a_replaced_file_that_grows_ends_the_attempt() {
    let model = Model::whole(b"old\n".repeat(1000));
    let mut delivered = Delivered::from(0);
    delivered.push(&b"old\n".repeat(1000));
    let mut source = FileSource::new(model.clone(), &delivered);
    model.file.lock().unwrap().bytes = b"new\n".to_vec();
    for _ in 0..100 {
        match source.read(&delivered) {
            Ok(ReadOutcome::Data { .. }) => panic!("nothing of the new file belongs to the log"),
            Ok(_) => {
                source.skip_pauses();
                model.file.lock().unwrap().bytes.extend(b"new\n");
            }
            Err(TailError::Broken(error)) => {
                assert!(error.to_string().contains("it was replaced"), "{error}");
                return;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it is read for ever");
}
