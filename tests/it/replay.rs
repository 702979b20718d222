//! The fuzz targets, run over their kept inputs and, where it is, the shared collection.

#[expect(unreachable_pub, reason = "public where it is a crate of its own")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use crate::collection::shared_corpus;

#[test]
fn datagrams_hold_what_the_fuzz_target_asks() {
    replay("datagram", "messages", targets::datagram);
}

#[test]
fn streams_hold_what_the_fuzz_target_asks() {
    replay("stream", "messages", targets::stream);
}

#[test]
fn uris_hold_what_the_fuzz_target_asks() {
    replay("uri", "fuzz/uri", targets::uri);
}

#[test]
fn digests_hold_what_the_fuzz_target_asks() {
    replay("digest", "vectors", targets::digest);
}

#[test]
fn x_ph_headers_hold_what_the_fuzz_target_asks() {
    replay("retreaver", "messages/smuggle", targets::retreaver);
}

#[test]
fn srtp_holds_what_the_fuzz_target_asks() {
    replay("srtp", "fuzz/rtp", targets::srtp);
}

#[test]
fn descriptions_hold_what_the_fuzz_target_asks() {
    replay("sdp", "fuzz/sdp", targets::sdp);
}

#[test]
fn rtp_and_rtcp_hold_what_the_fuzz_target_asks() {
    replay("rtp", "fuzz/rtp", targets::rtp);
    replay("rtp", "fuzz/rtcp", targets::rtp);
    // Packets of dice: a call's kind, then ways and packets that look like RTP or RTCP more often than not.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut dice = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    for _ in 0..RUNS {
        let mut program = vec![dice()];
        for number in 0..40 {
            let heads = [
                [0x80, 0],
                [0x80, 101],
                [0x80, 200],
                [0x81, 201],
                [dice(), dice()],
            ];
            let head = heads[usize::from(dice()) % heads.len()];
            program.extend([dice(), 24, head[0], head[1], 0, number]);
            program.extend((0..20).map(|_| dice() % 7));
        }
        targets::rtp(&program);
    }
}

#[test]
fn views_of_headers_hold_what_the_fuzz_target_asks() {
    replay("headers", "fuzz/none", targets::headers);
}

#[test]
fn headers_that_cross_hold_what_the_fuzz_target_asks() {
    replay("crossing", "fuzz/none", targets::crossing);
}

#[test]
fn answers_of_webhooks_hold_what_the_fuzz_target_asks() {
    replay("reply", "fuzz/none", targets::reply);
}

#[test]
fn names_are_found_as_the_fuzz_target_asks() {
    replay("locate", "fuzz/none", targets::locate);
}

#[test]
fn entries_of_the_journal_hold_what_the_fuzz_target_asks() {
    replay("entry", "fuzz/none", targets::entry);
}

#[test]
fn configurations_hold_what_the_fuzz_target_asks() {
    replay("config", "fuzz/none", targets::config);
}

#[test]
fn replies_of_rtpengine_hold_what_the_fuzz_target_asks() {
    replay("ng", "fuzz/none", targets::ng);
}

#[test]
fn webhooks_hold_what_the_fuzz_target_asks() {
    replay("webhook", "fuzz/none", targets::webhook);
}

#[test]
fn notifications_hold_what_the_fuzz_target_asks() {
    replay("notification", "fuzz/none", targets::notification);
}

#[test]
fn web_sockets_hold_what_the_fuzz_target_asks() {
    replay("websocket", "fuzz/none", targets::websocket);
}

#[test]
fn tickets_hold_what_the_fuzz_target_asks() {
    replay("ticket", "fuzz/none", targets::ticket);
}

#[test]
fn sequences_hold_what_the_fuzz_target_asks() {
    replay("sequence", "fuzz/none", targets::sequence);
    // Programs of dice, so that more than the seeds runs on stable.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..RUNS {
        let program: Vec<u8> = (0..400)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        targets::sequence(&program);
    }
}

/// Every kept input, every message of `folder` in the collection, and each cut short and with one byte
/// changed, at some places.
fn replay(target: &str, folder: &str, run: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut files = files_below(&seeds);
    assert!(!files.is_empty(), "{} is empty", seeds.display());
    if let Some(corpus) = shared_corpus() {
        files.extend(files_below(&corpus.join(folder)));
    }
    for file in files {
        let bytes = fs::read(&file).unwrap_or_default();
        run(&bytes);
        let step = (bytes.len() / PLACES).max(1);
        for (at, byte) in (0..bytes.len()).step_by(step).zip(ODD.iter().cycle()) {
            let (start, end) = bytes.split_at(at);
            let rest = end.get(1..).unwrap_or_default();
            run(start);
            run(&[start, &[*byte], rest].concat());
        }
    }
}

/// Sequences that are drawn.
const RUNS: usize = 1500;
/// Where a file is cut and changed, at equal distances.
const PLACES: usize = 20;
/// What it is changed to, in turn.
const ODD: [u8; 11] = *b"\0\r\n ,;\":<\xff%";

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}
