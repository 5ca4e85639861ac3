//! Patterns of `.gitignore`, interpreted like the pathspec library that is bundled with Ray.
//!
//! That version differs from git and from newer versions. For example, `foo/` does not match the
//! directory itself, and `*` also matches the root, whose name is `.`. These differences are
//! reproduced, because a package is named by the paths that are left.

/// The patterns of one ignore file or of one list of excludes.
pub(super) struct Patterns(Vec<Pattern>);

struct Pattern {
    /// Whether a matching path is excluded; `!` re-includes it instead.
    excludes: bool,
    parts: Vec<Part>,
}

/// A part of the equivalent regular expression.
enum Part {
    One(CharClass),
    /// Zero or more.
    Any(CharClass),
    Optional(Vec<Part>),
}

/// The characters that match at one position.
enum CharClass {
    Is(char),
    NotSlash,
    /// The dot of a Python regular expression.
    NotNewline,
    AnyOf(Vec<(char, char)>),
    NoneOf(Vec<(char, char)>),
}

impl Patterns {
    /// The error names a pattern that Ray cannot parse either.
    pub(super) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let patterns = lines.into_iter().filter_map(|line| Pattern::parse(line).transpose());
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a path, relative to the directory of the patterns, is excluded. The last
    /// matching pattern decides.
    pub(super) fn excludes(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        let last = self.0.iter().rev().find(|pattern| pattern.matches(&path));
        last.is_some_and(|pattern| pattern.excludes)
    }
}

impl Pattern {
    /// Returns `None` for a comment, an empty line and `/`.
    fn parse(line: &str) -> Result<Option<Self>, String> {
        let line = line.trim_matches(is_python_space);
        if line.is_empty() || line.starts_with('#') || line == "/" {
            return Ok(None);
        }
        let (excludes, pattern) = match line.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, line),
        };
        let pattern = pattern.strip_prefix('\\').unwrap_or(pattern);
        if pattern.is_empty() {
            return Err(format!("the pattern `{line}` has nothing to match"));
        }
        let parts = parts_of(&segments_of(pattern), excludes)
            .ok_or_else(|| format!("the pattern `{line}` has a reversed range"))?;
        Ok(Some(Self { excludes, parts }))
    }

    fn matches(&self, path: &[char]) -> bool {
        let mut ends = vec![false; path.len() + 1];
        ends[0] = true;
        let ends = advance(&self.parts, path, ends);
        // In Python, `$` also matches before a newline at the end.
        ends[path.len()] || (path.last() == Some(&'\n') && ends[path.len() - 1])
    }
}

/// Returns whether Python's `str.strip` removes this character.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Splits a pattern at its slashes. A leading or trailing slash, or none, is expressed by `**`.
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

/// Returns `None` if a range of characters is reversed.
fn parts_of(segments: &[&str], excludes: bool) -> Option<Vec<Part>> {
    use CharClass::{Is, NotNewline, NotSlash};
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
        // Excluding a path also excludes what is in it; `!` re-includes only the path itself.
        if i == end && excludes {
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
                Part::One(CharClass::Is(escaped))
            }
            '*' => Part::Any(CharClass::NotSlash),
            '?' => Part::One(CharClass::NotSlash),
            '[' => match end_of_brackets(&chars, i) {
                Some(end) => {
                    let inside = &chars[i..end];
                    i = end + 1;
                    Part::One(brackets(inside)?)
                }
                None => Part::One(CharClass::Is('[')),
            },
            c => Part::One(CharClass::Is(c)),
        };
        parts.push(part);
    }
    Some(parts)
}

/// Returns the position of the closing `]`. A `]` right at the start does not close.
fn end_of_brackets(chars: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    for first in ['!', ']'] {
        if chars.get(at) == Some(&first) {
            at += 1;
        }
    }
    chars.get(at..)?.iter().position(|&c| c == ']').map(|found| at + found)
}

/// Returns `None` if a range is reversed.
fn brackets(inside: &[char]) -> Option<CharClass> {
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
    Some(if negated { CharClass::NoneOf(ranges) } else { CharClass::AnyOf(ranges) })
}

impl CharClass {
    fn contains(&self, c: char) -> bool {
        let in_ranges =
            |ranges: &[(char, char)]| ranges.iter().any(|(a, z)| (*a..=*z).contains(&c));
        match self {
            Self::Is(this) => c == *this,
            Self::NotSlash => c != '/',
            Self::NotNewline => c != '\n',
            Self::AnyOf(ranges) => in_ranges(ranges),
            Self::NoneOf(ranges) => !in_ranges(ranges),
        }
    }
}

/// Returns the positions in the path at which a match of `parts` can end, if it can start at any of
/// `ends`. Takes time proportional to the number of parts and the length of the path, for any
/// pattern.
fn advance(parts: &[Part], path: &[char], mut ends: Vec<bool>) -> Vec<bool> {
    for part in parts {
        if !ends.contains(&true) {
            break;
        }
        match part {
            Part::One(chars) => {
                for at in (0..path.len()).rev() {
                    ends[at + 1] = ends[at] && chars.contains(path[at]);
                }
                ends[0] = false;
            }
            Part::Any(chars) => {
                for at in 0..path.len() {
                    ends[at + 1] |= ends[at] && chars.contains(path[at]);
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

    fn excludes(patterns: &[&str], path: &str) -> bool {
        Patterns::parse(patterns.iter().copied()).unwrap().excludes(path)
    }

    #[test]
    fn a_pattern_without_a_slash_matches_at_any_depth() {
        for path in ["foo", "a/foo", "foo/b", "a/foo/b/c"] {
            assert!(excludes(&["foo"], path), "{path}");
        }
        assert!(!excludes(&["/foo"], "a/foo"));
        assert!(!excludes(&["a/foo"], "b/a/foo"));
    }

    #[test]
    fn a_pattern_with_a_trailing_slash_keeps_the_directory_itself() {
        assert!(!excludes(&["foo/"], "foo"));
        assert!(excludes(&["foo/"], "foo/a"));
    }

    #[test]
    fn a_star_also_matches_the_root() {
        assert!(excludes(&["*"], "."));
        assert!(excludes(&[".*"], "."));
        assert!(!excludes(&["*.py"], "."));
    }

    #[test]
    fn the_last_matching_pattern_decides() {
        assert!(!excludes(&["*.log", "!keep.log"], "a/keep.log"));
        assert!(excludes(&["!keep.log", "*.log"], "a/keep.log"));
    }

    #[test]
    fn brackets_match_as_in_python() {
        assert!(excludes(&["[a-c]x"], "bx"));
        assert!(excludes(&["[]-]x"], "-x") && excludes(&["[]-]x"], "]x"));
        assert!(excludes(&["[^a]x"], "^x") && !excludes(&["[^a]x"], "bx"));
        assert!(excludes(&["[!a]x"], "bx") && !excludes(&["[!a]x"], "ax"));
        assert!(excludes(&["[a"], "[a"));
    }

    #[test]
    fn patterns_that_ray_cannot_parse_are_errors() {
        for bad in ["!", "\\", "[z-a]"] {
            assert!(Patterns::parse([bad]).is_err(), "{bad}");
        }
        assert!(Patterns::parse(["# !", "", "  ", "/"]).unwrap().0.is_empty());
    }

    #[test]
    fn many_stars_do_not_slow_matching_down() {
        let pattern = "*a".repeat(200);
        assert!(!excludes(&[&pattern], &"a".repeat(150)));
    }
}
