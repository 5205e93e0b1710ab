//! Text of strangers, cut to what is worth keeping.

/// Bytes of a message that is kept or shown.
pub(crate) const MAX_MESSAGE_BYTES: usize = 2 << 10;

/// The text, cut after [`MAX_MESSAGE_BYTES`] with `…` where it is longer.
pub(crate) fn bounded(mut text: String) -> String {
    if text.len() > MAX_MESSAGE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(bounded("short".into()), "short");
        let cut = bounded("ä".repeat(MAX_MESSAGE_BYTES));
        assert!(cut.ends_with("ä…") && cut.len() <= MAX_MESSAGE_BYTES + '…'.len_utf8());
    }
}
