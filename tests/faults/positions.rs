//! Verifies that a tail that resumes at any position of a log with mixed line endings and
//! characters delivers the same as an uninterrupted one.

use std::io::Read;
use std::thread;
use std::time::Duration;

use ray_client::{ClientError, LogLine, LogTail, NextLine, Protocol, StreamLimits};

use crate::cluster::Cluster;
use crate::server::respond_range;
use crate::{collect, options};

const WAYS: [Protocol; 2] = [Protocol::Agent, Protocol::Stream];
const LOG: &[u8] =
    b"one\r\ntwo\rthree\n\r\n\r\r\n\n\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\r\nbad \xff\xfe\rhalf \xf0\x9f\r\n50%\r100%\r\nlast \xe2\x82\xac";

fn lines(tail: LogTail) -> Vec<LogLine> {
    tail.map(|line| line.unwrap()).collect()
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| &**line).collect()
}

/// Returns the lines from this position, as an uninterrupted tail delivers them. The first line may
/// be partial.
fn lines_from(position: usize) -> Vec<String> {
    let after_cr = position > 0 && LOG[position - 1] == b'\r';
    let mut rest = &LOG[position..];
    if after_cr && rest.first() == Some(&b'\n') {
        rest = &rest[1..];
    }
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| b"\r\n".contains(byte)).unwrap_or(rest.len());
        lines.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        let ending = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[rest.len().min(end + ending)..];
    }
    lines
}

#[test]
fn tails_and_readers_resume_at_every_byte() {
    thread::scope(|scope| {
        for protocol in WAYS {
            scope.spawn(move || {
                let cluster = Cluster::start(LOG.to_vec(), respond_range);
                cluster.end();
                let client = cluster.client();
                let tail = |position: usize| {
                    let options = options(protocol).from_position(position as u64);
                    client.tail_job_logs_with("a", options).unwrap()
                };
                for position in 0..=LOG.len() {
                    let mut rest = Vec::new();
                    let mut reader = tail(position).into_reader();
                    reader.read_to_end(&mut rest).unwrap();
                    assert_eq!(rest, &LOG[position..], "{protocol} {position}");
                    assert_eq!(reader.position(), LOG.len() as u64);
                    let lines = lines(tail(position));
                    assert_eq!(texts(&lines), lines_from(position), "{protocol} {position}");
                }
                let error = tail(LOG.len() + 1).next().unwrap().unwrap_err();
                assert_eq!(error.status(), 400, "{error}");
            });
        }
    });
}

#[test]
fn a_limit_does_not_count_the_rest_of_a_line_ending() {
    let cluster = Cluster::start(b"one\r\ntwo\nthree\n".to_vec(), respond_range);
    cluster.end();
    for protocol in WAYS {
        let limits = StreamLimits::unlimited().max_lines(1);
        let options = options(protocol).from_position("one\r".len() as u64).limits(limits);
        let (lines, end) = collect(&cluster.client(), options);
        assert_eq!((&*lines, end.unwrap().status()), (&["two".to_owned()][..], 429), "{protocol}");
    }
}

/// Appends the lines of a tail, and returns its error and position.
fn add(lines: &mut Joined, mut tail: LogTail) -> (Option<ClientError>, u64) {
    let mut end = None;
    for item in &mut tail {
        match item {
            Ok(line) if lines.goes_on => {
                lines.texts.last_mut().unwrap().push_str(&line);
                lines.goes_on = line.is_partial();
            }
            Ok(line) => {
                lines.texts.push(line.to_string());
                lines.goes_on = line.is_partial();
            }
            Err(error) => end = Some(error),
        }
    }
    (end, tail.position())
}

#[derive(Default)]
struct Joined {
    texts: Vec<String>,
    goes_on: bool,
}

#[test]
fn the_largest_position_is_beyond_the_end() {
    for protocol in WAYS {
        let cluster = Cluster::start(LOG.to_vec(), respond_range);
        cluster.end();
        let options = options(protocol).from_position(u64::MAX);
        let (lines, end) = collect(&cluster.client(), options);
        let error = end.unwrap();
        assert_eq!((lines.len(), error.status()), (0, 400), "{protocol}: {error}");
    }
}

/// Ends a tail with an error after `cut` bytes, and resumes it at its position.
fn check_cut(protocol: Protocol, cut: usize) {
    let cluster = Cluster::start(LOG[..cut].to_vec(), respond_range);
    let client = cluster.client();
    let mut lines = Joined::default();
    let short = options(protocol).stream_timeout(Duration::from_millis(200));
    let (end, position) = add(&mut lines, client.tail_job_logs_with("a", short).unwrap());
    assert_eq!(end.unwrap().status(), 408);
    cluster.write(&LOG[cut..]);
    cluster.end();
    let options = options(protocol).from_position(position);
    let (end, position) = add(&mut lines, client.tail_job_logs_with("a", options).unwrap());
    assert!(end.is_none(), "{protocol} {cut}: {end:?}");
    assert_eq!(position, LOG.len() as u64);
    assert_eq!(lines.texts, lines_from(0), "{protocol} {cut}");
}

#[test]
fn a_tail_that_failed_at_any_byte_can_be_resumed() {
    thread::scope(|scope| {
        for protocol in WAYS {
            for cuts in (0..LOG.len()).collect::<Vec<_>>().chunks(10) {
                let cuts = cuts.to_vec();
                scope.spawn(move || cuts.into_iter().for_each(|cut| check_cut(protocol, cut)));
            }
        }
    });
}

/// The log arrives in two parts during one tail.
#[test]
fn a_log_that_arrives_in_two_parts_has_the_same_lines() {
    let check = |protocol, cut: usize| {
        let cluster = Cluster::start(LOG[..cut].to_vec(), respond_range);
        let client = cluster.client();
        let mut tail = client.tail_job_logs_with("a", options(protocol)).unwrap();
        let mut lines = Vec::new();
        while let NextLine::Line(line) = tail.next_within(Duration::from_millis(150)).unwrap() {
            lines.push(line);
        }
        cluster.write(&LOG[cut..]);
        cluster.end();
        lines.extend(tail.map(|line| line.unwrap()));
        assert_eq!(texts(&lines), lines_from(0), "{protocol} {cut}");
    };
    thread::scope(|scope| {
        for protocol in WAYS {
            for cuts in (0..LOG.len()).collect::<Vec<_>>().chunks(10) {
                let cuts = cuts.to_vec();
                scope.spawn(move || cuts.into_iter().for_each(|cut| check(protocol, cut)));
            }
        }
    });
}
