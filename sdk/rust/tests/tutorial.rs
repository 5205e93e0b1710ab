//! The files of the tutorial do what the README says, and the README shows them as they are.

// The instrument with its tests. Included, because it is formatted as in a crate of its own, which has no rustfmt.toml.
include!("../tutorial/freezer_door.rs");

const README: &str = include_str!("../README.md");

#[test]
fn the_readme_shows_the_files_as_they_are() {
    let files = [
        ("rust", include_str!("../tutorial/freezer_door.rs")),
        ("csv", include_str!("../tutorial/door.csv")),
        ("yaml", include_str!("../tutorial/inquiry.yaml")),
    ];
    for (language, text) in files {
        assert!(
            README.contains(&format!("```{language}\n{text}```\n")),
            "the README lacks the {language} file of the tutorial, or shows another one"
        );
    }
}
