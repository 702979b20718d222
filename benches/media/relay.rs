//! The relay alone, for `benches/media/run`: sessions without any call, told by the command line.
//!
//! ```text
//! relay own|shared|srtp ADDRESS PORT SESSIONS THREADS
//! ```
//!
//! Session `i` has its caller at `127.1.x.y:20000` and its buyer at `127.2.x.y:20001`, where `x.y` is `i`. In `own`, the
//! caller sends to `PORT + 4i` and the buyer to two ports further; in `shared`, all send to `PORT`. With `srtp`, it is
//! `own` with keys on both sides, of which the load knows nothing: session `2i` turns its RTP into SRTP and sends it to
//! session `2i + 1`, which turns it back. Each packet is then moved twice, and pays twice for the kernel, too.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "whoever started it reads that"
)]

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use smallvec::smallvec;
use strowger::media::plan::{
    Crypto, End, Gate, Keys, Patience, Payload, Plan, Remote, SessionId, Sources, Stream, Suite,
};
use strowger::net::relay::{Relay, Settings};
use strowger::telemetry::media::MediaCounts;
use strowger::telemetry::metrics::Metrics;
use zeroize::Zeroizing;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let [mode, address, port, sessions, threads] = arguments.as_slice() else {
        eprintln!(
            "relay own|shared|srtp ADDRESS PORT SESSIONS THREADS: started by benches/media/run"
        );
        // `cargo bench` starts every bench without arguments.
        return ExitCode::SUCCESS;
    };
    match serve(mode, address, port, sessions, threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(
    mode: &str,
    address: &str,
    port: &str,
    sessions: &str,
    threads: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let (address, port): (IpAddr, u16) = (address.parse()?, port.parse()?);
    let sessions: u16 = sessions.parse()?;
    let settings = Settings {
        threads: threads.parse()?,
        dscp: 46,
        keeps_digits: true,
    };
    let counts = Arc::new(MediaCounts::new(&Metrics::new()));
    let relay = Relay::start(settings, &counts, |_| {})?;
    let gate = |offset: u16| Gate {
        address,
        port: if mode == "shared" {
            port
        } else {
            port + offset
        },
        is_shared: mode == "shared",
    };
    // With a shared port, all sessions must be at home where it is.
    let id = |number: u16| match mode {
        "shared" => SessionId(u64::from(number) * settings.threads as u64 + u64::from(port / 2)),
        _ => SessionId(u64::from(number)),
    };
    for number in 0..sessions {
        let [caller, buyer] = [1, 2].map(|net| phone(net, number));
        let near = end(gate(number * 4), caller);
        let far = end(gate(number * 4 + 2), buyer);
        relay.connect(id(number), plan([near, far]))?;
    }
    if mode == "srtp" {
        // Every other session becomes the far half of the one before.
        for number in (0..sessions).step_by(2) {
            let [caller, buyer] = [1, 2].map(|net| phone(net, number / 2));
            let middle = [gate(number * 4 + 2), gate(number * 4 + 4)];
            let [to_second, to_first] = middle.map(|gate| SocketAddr::new(gate.address, gate.port));
            let near = [
                end(gate(number * 4), caller),
                sealed(end(middle[0], to_first), 1, 2),
            ];
            let far = [
                sealed(end(middle[1], to_second), 2, 1),
                end(gate(number * 4 + 6), buyer),
            ];
            for (ends, offset) in [(near, 0), (far, 1)] {
                relay.connect(id(number + offset), plan(ends))?;
            }
        }
    }
    println!("ready");
    // Whoever started this ends it by closing its input.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn phone(net: u8, number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    let address = Ipv4Addr::new(127, net, high, low);
    SocketAddr::new(address.into(), 20_000 + u16::from(net) - 1)
}

fn end(gate: Gate, rtp: SocketAddr) -> End {
    End {
        gate,
        remote: Some(Remote {
            rtp,
            rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 10),
        }),
        sources: Sources::Announced,
        sends: true,
        payloads: smallvec![
            Payload {
                number: 0,
                clock: 8000,
                is_dtmf: false
            },
            Payload {
                number: 101,
                clock: 8000,
                is_dtmf: true
            }
        ],
        crypto: None,
    }
}

fn plan(ends: [End; 2]) -> Plan {
    Plan {
        streams: smallvec![Stream { ends, is_rtp: true }],
        patience: Patience {
            is_answered: true,
            ..Patience::default()
        },
    }
}

fn sealed(end: End, theirs: u8, ours: u8) -> End {
    let keys = |seed: u8| Keys {
        suite: Suite::Aes128Sha1Tag80,
        secret: Zeroizing::new(vec![seed; 30]),
    };
    let crypto = Some(Crypto {
        theirs: keys(theirs),
        ours: keys(ours),
    });
    End { crypto, ..end }
}
