//! The patterns of `.gitignore`, as the pathspec library that Ray carries with it reads them.
//!
//! That version differs from git, and from newer versions, in what it matches: `foo/` is not the
//! directory itself, and `*` is also the root, which is called `.`. A package is named by the paths that
//! are left, so all of it is kept.

/// The patterns of one ignore file, or of one list of excludes.
pub(super) struct Patterns(Vec<Pattern>);

struct Pattern {
    /// Whether a path that matches is left out; a pattern with `!` takes it back in.
    leaves_out: bool,
    parts: Vec<Part>,
}

/// A part of what would be a regular expression.
enum Part {
    One(Chars),
    Any(Chars),
    Optional(Vec<Part>),
}

/// Which characters one place of a path may have.
enum Chars {
    Is(char),
    NotSlash,
    /// A dot of Python's regular expressions: not a newline.
    NotNewline,
    Among(Vec<(char, char)>),
    NotAmong(Vec<(char, char)>),
}

impl Patterns {
    /// The error names the pattern that Ray cannot read either.
    pub(super) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let patterns = lines.into_iter().filter_map(|line| Pattern::parse(line).transpose());
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Whether this path, relative to the folder of the patterns, is left out: the last pattern that
    /// matches decides.
    pub(super) fn leave_out(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        let last = self.0.iter().rev().find(|pattern| pattern.matches(&path));
        last.is_some_and(|pattern| pattern.leaves_out)
    }
}

impl Pattern {
    /// `None` for a comment, an empty line and `/`.
    fn parse(line: &str) -> Result<Option<Self>, String> {
        let line = line.trim_matches(is_python_space);
        if line.is_empty() || line.starts_with('#') || line == "/" {
            return Ok(None);
        }
        let (leaves_out, pattern) = match line.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, line),
        };
        let pattern = pattern.strip_prefix('\\').unwrap_or(pattern);
        if pattern.is_empty() {
            return Err(format!("the pattern `{line}` has nothing to match"));
        }
        let parts = parts_of(&segments_of(pattern), leaves_out).ok_or_else(|| {
            format!("the pattern `{line}` has a range whose end is before its start")
        })?;
        Ok(Some(Self { leaves_out, parts }))
    }

    fn matches(&self, path: &[char]) -> bool {
        let mut ends = vec![false; path.len() + 1];
        ends[0] = true;
        let ends = advance(&self.parts, path, ends);
        // A dollar of Python's regular expressions also stands before a newline at the end.
        ends[path.len()] || (path.last() == Some(&'\n') && ends[path.len() - 1])
    }
}

/// What Python's `str.strip` takes off.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The parts between slashes, where `**` stands for what a slash at the start, in the middle or at the
/// end means.
fn segments_of(pattern: &str) -> Vec<&str> {
    let mut segments: Vec<&str> = pattern.split('/').collect();
    if segments[0].is_empty() {
        segments.remove(0);
    } else if (segments.len() == 1 || (segments.len() == 2 && segments[1].is_empty()))
        && segments[0] != "**"
    {
        segments.insert(0, "**");
    }
    match &mut segments[..] {
        [_, .., last] if last.is_empty() => *last = "**",
        _ => {}
    }
    segments
}

/// `None` if a range of characters is the wrong way round.
fn parts_of(segments: &[&str], leaves_out: bool) -> Option<Vec<Part>> {
    use Chars::{Is, NotNewline, NotSlash};
    use Part::{Any, One, Optional};
    let mut parts = Vec::new();
    let mut need_slash = false;
    let end = segments.len() - 1;
    for (i, segment) in segments.iter().enumerate() {
        if *segment == "**" {
            if i == 0 && i == end {
                parts.extend([One(NotNewline), Any(NotNewline)]);
            } else if i == 0 {
                let folders = vec![One(NotNewline), Any(NotNewline), One(Is('/'))];
                parts.push(Optional(folders));
                need_slash = false;
            } else if i == end {
                parts.extend([One(Is('/')), Any(NotNewline)]);
            } else {
                let folders = vec![One(Is('/')), One(NotNewline), Any(NotNewline)];
                parts.push(Optional(folders));
                need_slash = true;
            }
            continue;
        }
        if need_slash {
            parts.push(One(Is('/')));
        }
        need_slash = true;
        if *segment == "*" {
            parts.extend([One(NotSlash), Any(NotSlash)]);
            continue;
        }
        parts.extend(glob(segment)?);
        // What is below a path that is left out is left out too; what is taken back in is that path.
        if i == end && leaves_out {
            parts.push(Optional(vec![One(Is('/')), Any(NotNewline)]));
        }
    }
    Some(parts)
}

fn glob(segment: &str) -> Option<Vec<Part>> {
    let chars: Vec<char> = segment.chars().collect();
    let mut parts = Vec::new();
    let mut i = 0;
    while let Some(&c) = chars.get(i) {
        i += 1;
        let part = match c {
            '\\' => {
                let Some(&escaped) = chars.get(i) else { break };
                i += 1;
                Part::One(Chars::Is(escaped))
            }
            '*' => Part::Any(Chars::NotSlash),
            '?' => Part::One(Chars::NotSlash),
            '[' => match end_of_brackets(&chars, i) {
                Some(end) => {
                    let inside = &chars[i..end];
                    i = end + 1;
                    Part::One(brackets(inside)?)
                }
                None => Part::One(Chars::Is('[')),
            },
            c => Part::One(Chars::Is(c)),
        };
        parts.push(part);
    }
    Some(parts)
}

/// Where the `]` is that ends the brackets that start here. One right at the start is no end.
fn end_of_brackets(chars: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    for first in ['!', ']'] {
        if chars.get(at) == Some(&first) {
            at += 1;
        }
    }
    chars.get(at..)?.iter().position(|&c| c == ']').map(|found| at + found)
}

/// `None` if a range is the wrong way round.
fn brackets(inside: &[char]) -> Option<Chars> {
    let (inside, negated) = match inside {
        ['!', rest @ ..] => (rest, true),
        all => (all, false),
    };
    let mut ranges = Vec::new();
    let mut left = inside;
    while let [first, rest @ ..] = left {
        left = match rest {
            ['-', last, rest @ ..] => {
                ranges.push((first <= last).then_some((*first, *last))?);
                rest
            }
            rest => {
                ranges.push((*first, *first));
                rest
            }
        };
    }
    Some(if negated { Chars::NotAmong(ranges) } else { Chars::Among(ranges) })
}

impl Chars {
    fn has(&self, c: char) -> bool {
        let among = |ranges: &[(char, char)]| ranges.iter().any(|(a, z)| (*a..=*z).contains(&c));
        match self {
            Self::Is(this) => c == *this,
            Self::NotSlash => c != '/',
            Self::NotNewline => c != '\n',
            Self::Among(ranges) => among(ranges),
            Self::NotAmong(ranges) => !among(ranges),
        }
    }
}

/// Where in the path a match of these parts can end, if it can start where `ends` says. Takes time in
/// proportion to parts and path, whatever the pattern.
fn advance(parts: &[Part], path: &[char], mut ends: Vec<bool>) -> Vec<bool> {
    for part in parts {
        if !ends.contains(&true) {
            break;
        }
        match part {
            Part::One(chars) => {
                for at in (0..path.len()).rev() {
                    ends[at + 1] = ends[at] && chars.has(path[at]);
                }
                ends[0] = false;
            }
            Part::Any(chars) => {
                for at in 0..path.len() {
                    ends[at + 1] |= ends[at] && chars.has(path[at]);
                }
            }
            Part::Optional(parts) => {
                let with = advance(parts, path, ends.clone());
                for (end, with) in ends.iter_mut().zip(with) {
                    *end |= with;
                }
            }
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves_out(patterns: &[&str], path: &str) -> bool {
        Patterns::parse(patterns.iter().copied()).unwrap().leave_out(path)
    }

    #[test]
    fn a_pattern_without_a_slash_matches_at_any_depth_and_all_below() {
        for path in ["foo", "a/foo", "foo/b", "a/foo/b/c"] {
            assert!(leaves_out(&["foo"], path), "{path}");
        }
        assert!(!leaves_out(&["/foo"], "a/foo"));
        assert!(!leaves_out(&["a/foo"], "b/a/foo"));
    }

    #[test]
    fn a_folder_pattern_leaves_the_folder_itself_in() {
        assert!(!leaves_out(&["foo/"], "foo"));
        assert!(leaves_out(&["foo/"], "foo/a"));
    }

    #[test]
    fn a_star_is_also_the_root() {
        assert!(leaves_out(&["*"], "."));
        assert!(leaves_out(&[".*"], "."));
        assert!(!leaves_out(&["*.py"], "."));
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        assert!(!leaves_out(&["*.log", "!keep.log"], "a/keep.log"));
        assert!(leaves_out(&["!keep.log", "*.log"], "a/keep.log"));
    }

    #[test]
    fn brackets_are_those_of_python() {
        assert!(leaves_out(&["[a-c]x"], "bx"));
        assert!(leaves_out(&["[]-]x"], "-x") && leaves_out(&["[]-]x"], "]x"));
        assert!(leaves_out(&["[^a]x"], "^x") && !leaves_out(&["[^a]x"], "bx"));
        assert!(leaves_out(&["[!a]x"], "bx") && !leaves_out(&["[!a]x"], "ax"));
        assert!(leaves_out(&["[a"], "[a"));
    }

    #[test]
    fn what_ray_cannot_read_is_an_error() {
        for bad in ["!", "\\", "[z-a]"] {
            assert!(Patterns::parse([bad]).is_err(), "{bad}");
        }
        assert!(Patterns::parse(["# !", "", "  ", "/"]).unwrap().0.is_empty());
    }

    #[test]
    fn many_stars_take_no_longer() {
        let pattern = "*a".repeat(200);
        assert!(!leaves_out(&[&pattern], &"a".repeat(150)));
    }
}
