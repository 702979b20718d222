//! `tests/run` itself, with a `cargo` of our own: what it says, and whether it fails when it must.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const WELL: &str = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured";
const BAD: &str = "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured";
/// What is said at the end of `BAD`.
const NAMES: &str =
    "\\nfailures:\\n\\n---- a::one stdout ----\\n    left alone\\n\\nfailures:\\n    a::one\\n\\n";

#[test]
fn all_that_ran_is_added_up() {
    let (code, end) = run(&format!("echo '{WELL}'; echo '{WELL}'"));

    // The library, the documentation, and what has real clocks.
    assert_eq!(
        (code, &*end),
        (Some(0), "== 24 tests ran, 0 failed, 8 ignored")
    );
}

#[test]
fn one_failure_of_many_is_a_failure() {
    let (code, end) = run(&format!(
        "echo '{WELL}'; case $* in *--lib*) echo '{BAD}'; exit 101 ;; esac"
    ));

    assert_eq!(
        (code, &*end),
        (Some(1), "== 16 tests ran, 1 failed, 4 ignored")
    );
}

#[test]
fn what_fails_beside_others_and_passes_alone_is_named() {
    let alone = "echo 'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured'";
    let script = format!(
        "case $* in *'it -- --test-threads 1 --exact a::one'*) {alone} ;;
        *--test' 'it*) printf '{NAMES}'; echo '{BAD}'; exit 101 ;; *) echo '{WELL}' ;; esac"
    );

    let (code, said) = run_for("60", &script);

    assert_eq!(code, Some(0), "{said}");
    let end: Vec<_> = said.lines().rev().take(2).collect();
    assert_eq!(
        end,
        [
            "== 13 tests ran, 0 failed, 3 ignored",
            "== failed beside others and passed alone: a::one"
        ]
    );
}

#[test]
fn what_fails_alone_too_has_failed() {
    let fails = format!("printf '{NAMES}'; echo '{BAD}'; exit 101");
    // Again; as one of so many that something else is wrong; without saying which; and nobody of that name.
    for script in [
        format!("case $* in *--test' 'it*) {fails} ;; esac"),
        format!(
            "case $* in *--exact*) ;; *--test' 'it*) printf '{NAMES}    b\\n    c\\n    d\\n    e\\n    f\\n'; \
             echo '{BAD}' | sed 's/1 failed/6 failed/'; exit 101 ;; esac"
        ),
        format!("case $* in *--exact*) ;; *--test' 'it*) echo '{BAD}'; exit 101 ;; esac"),
        format!(
            "case $* in *--exact*) echo 'test result: ok. 0 passed' ;; *--test' 'it*) {fails} ;; esac"
        ),
    ] {
        let (code, said) = run_for("60", &format!("{script}; echo '{WELL}'"));

        assert_eq!(code, Some(1), "{script}\n{said}");
        assert!(!said.contains("passed alone"), "{said}");
    }
}

#[test]
fn tests_that_never_ran_are_a_failure() {
    let unbuilt = run("echo 'error: could not compile'; exit 101");
    let none = run("exit 0");

    for (code, end) in [unbuilt, none] {
        assert_eq!(
            (code, &*end),
            (Some(1), "== 0 tests ran, 0 failed, 0 ignored")
        );
    }
}

#[test]
fn a_process_that_is_left_behind_is_a_failure_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let id = folder.path().join("id");

    let (code, _) = run(&format!(
        "case $* in *--lib*) sleep 600 & echo $! > {} ;; esac; echo '{WELL}'",
        id.display()
    ));

    assert_eq!(code, Some(1));
    let id = fs::read_to_string(id).unwrap();
    let state = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    // Whoever inherits it may not have noticed yet.
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[test]
fn tests_that_hang_are_given_up() {
    let (code, _) = run_for("1", &format!("echo '{WELL}'; sleep 600"));

    assert_eq!(code, Some(1));
}

/// Runs it with a `cargo` whose `test` does what `script` says; the exit code and the last line.
fn run(script: &str) -> (Option<i32>, String) {
    let (code, said) = run_for("60", script);
    (code, said.lines().last().unwrap_or_default().to_owned())
}

/// As [`run`], with a limit in seconds; the exit code and all that is said.
fn run_for(limit: &str, script: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is to be installed by the way.
    for peer in ["sipp", "baresip", "cc"] {
        write(&folder.path().join(peer), "");
    }
    write(
        &folder.path().join("cargo"),
        &format!("[ \"$1\" = test ] || exit 0\n{script}"),
    );
    let system = env::var("PATH").unwrap();
    let path = format!("{}:{system}", folder.path().display());
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run"))
        .env("PATH", path)
        .env("TEST_LIMIT", limit)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), said)
}

fn write(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/bash\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
