//! What README.md shows is what happens.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_configuration_in_the_readme_is_right() {
    let readme = readme();
    let (whole, _) = block(&readme, "```toml\n", 0);

    let (said, code) = check("whole.toml", whole);

    assert_eq!(said, "whole.toml: nothing is wrong\n");
    assert_eq!(code, Some(0));
}

/// As a new user would: the part about Twilio is added to the whole.
#[test]
fn what_the_readme_says_of_twilio_is_right() {
    let readme = readme();
    let (whole, _) = block(&readme, "```toml\n", 0);
    let start = readme.find("#### Connect Twilio in five minutes");
    let (twilio, _) = block(&readme, "```toml\n", start.expect("such a one"));
    let start = readme.find("### Numbers and soft phones at Twilio");
    let (orgs, _) = block(&readme, "```toml\n", start.expect("such a one"));
    let networks = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/twilio-cidrs.toml");
    let networks = fs::read_to_string(networks).expect("Twilio's addresses");
    let node = "[node]\ndata_dir = \"data\"\n";

    let text = format!("{node}{whole}{twilio}{orgs}{networks}");
    let (said, code) = check("twilio.toml", &text);

    assert_eq!(said, "twilio.toml: nothing is wrong\n");
    assert_eq!(code, Some(0));
}

#[test]
fn the_faults_in_the_readme_are_what_check_says() {
    let readme = readme();
    let start = readme.find("A configuration with mistakes in it:");
    let (broken, end) = block(&readme, "```toml\n", start.expect("such a one"));
    let (faults, _) = block(&readme, "```\n", end);

    let (said, code) = check("broken.toml", broken);

    assert_eq!(said, faults);
    assert_eq!(code, Some(64));
}

/// Times differ, and so may the order of what the edge says to two parties at once.
#[test]
fn the_ladder_in_the_readme_is_what_the_demo_draws() {
    let readme = readme();
    let start = readme.find("    ms  carrier").expect("a ladder");
    let (ladder, _) = readme[start..].split_once("```").expect("its end");
    let demo = strowger().arg("demo").output().expect("the demo runs");
    let demo = String::from_utf8(demo.stdout).expect("text");
    let (_, second) = demo.split_once("\nCall 2. ").expect("a second call");
    let (second, _) = second.split_once("\nCall 3. ").expect("a third call");

    let arrows = |text: &str| {
        let is_drawn = |line: &&str| line.ends_with('|') || line.ends_with("buyer 2");
        let mut arrows: Vec<String> = text
            .lines()
            .filter(is_drawn)
            .map(|line| line.chars().skip(6).collect())
            .collect();
        arrows.sort_unstable();
        arrows
    };
    assert_eq!(arrows(ladder), arrows(second));
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md")
}

/// The text between the first `fence` at or after `from` and its end, and where that is.
fn block<'t>(text: &'t str, fence: &str, from: usize) -> (&'t str, usize) {
    let start = from + text[from..].find(fence).expect("a block") + fence.len();
    let end = start + text[start..].find("```").expect("its end");
    (&text[start..end], end + "```".len())
}

/// What `strowger check` says to `text` in a file called `name`, and its exit code.
fn check(name: &str, text: &str) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(name), text).expect("a file");
    let output = strowger()
        .args(["check", "--config", name])
        .current_dir(folder.path())
        .env("CARRIER_PASSWORD", "not-a-secret")
        .env("SOLARIS_PASSWORD", "not-a-secret")
        .env("KEY_SECRET", "not-a-secret-either")
        .env("TWILIO_AUTH_TOKEN", "not-a-secret-at-all")
        .env("HAND_OFF_SECRET", "not-a-secret-at-all")
        .env("SEAL_KEY", "not-a-secret-0123456789abcdef-0123456789")
        .env("JWT_SECRET", "not-a-secret-0123456789")
        .output()
        .expect("check runs");
    let said = String::from_utf8(output.stdout).expect("text");
    (said, output.status.code())
}

fn strowger() -> Command {
    Command::new(env!("CARGO_BIN_EXE_strowger"))
}
