//! What a person sees after `inquisitor run`.
#![allow(clippy::unwrap_used)]

mod common;

use common::{HOSTILE, cold_chain, falsified, hello_world, hostile, inconclusive};
use inquisitor_report::console_summary;
use unicode_width::UnicodeWidthStr;

#[test]
fn hello_world_is_verified() {
    insta::assert_snapshot!(console_summary(&hello_world().input().summary(), 100, false));
}

#[test]
fn a_cold_chain_is_verified() {
    insta::assert_snapshot!(console_summary(&cold_chain().input().summary(), 100, false));
}

#[test]
fn a_cold_chain_is_falsified() {
    insta::assert_snapshot!(console_summary(&falsified().input().summary(), 100, false));
}

#[test]
fn a_cold_chain_is_undecided() {
    insta::assert_snapshot!(console_summary(&inconclusive().input().summary(), 100, false));
}

#[test]
fn a_narrow_terminal_wraps() {
    insta::assert_snapshot!(console_summary(&falsified().input().summary(), 50, false));
}

#[test]
fn colors_only_add_sequences() {
    let case = falsified();
    let colored = console_summary(&case.input().summary(), 100, true);
    insta::assert_snapshot!(colored.replace('\u{1b}', "␛"));
    let mut bare = String::new();
    for (position, part) in colored.split('\u{1b}').enumerate() {
        let text = if position == 0 { part } else { part.split_once('m').unwrap().1 };
        bare.push_str(text);
    }
    assert_eq!(bare, console_summary(&case.input().summary(), 100, false));
}

#[test]
fn lines_keep_to_the_width() {
    for case in [cold_chain(), falsified(), inconclusive(), hello_world()] {
        for width in [80, 100, 120] {
            for line in console_summary(&case.input().summary(), width, false).lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }
}

#[test]
fn nothing_hostile_reaches_the_terminal() {
    let summary = console_summary(&hostile().input().summary(), 80, false);
    assert!(HOSTILE.contains('\u{1b}') && HOSTILE.contains('\u{202e}'));
    assert!(!summary.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{summary}");
}
