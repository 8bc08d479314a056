//! Long texts on short lines, with nothing lost.

/// Breaks `text` into lines of at most `width` characters: at its own line
/// ends, else at spaces, else within a word. Control characters are shown as
/// escapes, so that no text can steer the reader's terminal.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut rest = visible(line);
        while let Some((head, tail)) = split(&rest, width) {
            lines.push(head);
            rest = tail;
        }
        lines.push(rest);
    }
    lines
}

/// `text` on one line, control characters as escapes.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The first line and the rest, if `text` is too long for one line. Of the
/// space at which a line is broken nothing is shown.
fn split(text: &str, width: usize) -> Option<(String, String)> {
    let (limit, _) = text.char_indices().nth(width)?;
    // A space right after the last character that fits is as good.
    let next = text[limit..].chars().next().map_or(0, char::len_utf8);
    let broken = text[..limit + next]
        .rfind(' ')
        .filter(|at| !text[..*at].trim().is_empty());
    Some(match broken {
        Some(at) => (text[..at].to_owned(), text[at + 1..].to_owned()),
        None => (text[..limit].to_owned(), text[limit..].to_owned()),
    })
}

/// Lines that begin with `indent` spaces.
pub(super) fn indented(text: &str, indent: usize, width: usize) -> String {
    let pad = " ".repeat(indent);
    let lines = wrap(text, width.saturating_sub(indent));
    lines.iter().map(|line| format!("{pad}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_within() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two", 7), ["one two"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(
            wrap("[+]ping ok\n[-]storage failed", 40),
            ["[+]ping ok", "[-]storage failed"]
        );
        assert!(wrap("", 10).is_empty());
    }

    #[test]
    fn characters_of_many_bytes_are_not_broken() {
        assert_eq!(wrap("ääääää", 4), ["ääää", "ää"]);
        assert_eq!(wrap("ää ä äää", 4), ["ää ä", "äää"]);
    }

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(wrap("\u{1b}[31mred\u{7}", 80), ["\\u{1b}[31mred\\u{7}"]);
    }
}
