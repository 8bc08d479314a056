//! The nearest right word.

/// The candidate that `word` was probably meant to be: the nearest by edits,
/// letter case aside, if at most about a third of the letters differ.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = word.to_lowercase();
    let allowed = (word.chars().count() / 3).clamp(1, 5);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` or `c`, each in backquotes.
pub(crate) fn choice<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_distant_one_is_not() {
        let words = ["periodSeconds", "timeoutSeconds", "phase"];
        assert_eq!(nearest("periodSecond", words), Some("periodSeconds"));
        assert_eq!(nearest("PERIODSECONDS", words), Some("periodSeconds"));
        assert_eq!(nearest("phsae", words), Some("phase"));
        assert_eq!(nearest("entirely", words), None);
        assert_eq!(nearest("", words), None);
    }

    #[test]
    fn choices_read_as_a_sentence() {
        assert_eq!(choice(["a"]), "`a`");
        assert_eq!(choice(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
