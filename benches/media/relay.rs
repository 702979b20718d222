//! The relay alone, for `benches/media/run`: sessions without any call, told by the command line.
//!
//! ```text
//! relay own|own-kernel|shared|shared-kernel|srtp ADDRESS PORT SESSIONS THREADS
//! relay churn ADDRESS PORT CALLS THREADS
//! ```
//!
//! Session `i` has its caller at `127.1.x.y:20000` and its buyer at `127.2.x.y:20001`, where `x.y` is `i`. In `own`, the
//! caller sends to `PORT + 4i` and the buyer to two ports further; in `shared`, all send to `PORT`. With `srtp`, it is
//! `own` with keys on both sides, of which the load knows nothing: session `2i` turns its RTP into SRTP and sends it to
//! session `2i + 1`, which turns it back. Each packet is then moved twice, and pays twice for the kernel, too. With `-kernel`,
//! established streams are forwarded in the kernel, at the loopback's ingress.
//!
//! `churn` sets so many calls up and tears them down again, 500 at a time, and says what is left of them: descriptors, memory,
//! ports. It fails if that is more than there was after the first thousand.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "whoever started it reads that"
)]

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use smallvec::smallvec;
use strowger::media::plan::{
    Crypto, End, Gate, Keys, Patience, Payload, Plan, Remote, SessionId, Sources, Stream, Suite,
};
use strowger::media::ports::Pool;
use strowger::net::clock;
use strowger::net::offload::Offload;
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
            "relay own|own-kernel|shared|shared-kernel|srtp ADDRESS PORT SESSIONS THREADS: started by benches/media/run"
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
    if mode == "churn" {
        return churn(address, port, sessions.parse()?, threads.parse()?);
    }
    let sessions: u16 = sessions.parse()?;
    let offload = match mode.strip_suffix("-kernel") {
        None => None,
        Some(_) => match Offload::start(&["lo".into()], 46)? {
            (offload, refused) if refused.is_empty() => Some(offload),
            (_, refused) => return Err(format!("{refused:?}").into()),
        },
    };
    let mode = mode.trim_end_matches("-kernel");
    let settings = Settings {
        threads: threads.parse()?,
        dscp: 46,
        keeps_digits: true,
    };
    let counts = Arc::new(MediaCounts::new(&Metrics::new()));
    let relay = Relay::start(settings, offload, &counts, |_| {})?;
    let gate = |offset: u16| Gate {
        address,
        port: if mode == "shared" {
            port
        } else {
            port + offset
        },
        is_shared: mode == "shared",
    };
    let id = |number: u16| SessionId(u64::from(number));
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

fn churn(
    address: IpAddr,
    port: u16,
    calls: u64,
    threads: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings {
        threads,
        dscp: 46,
        keeps_digits: true,
    };
    let counts = Arc::new(MediaCounts::new(&Metrics::new()));
    let relay = Relay::start(settings, None, &counts, |_| {})?;
    let last = port.saturating_add(19_999);
    let mut pool = Pool::new(port..=last, (0, 1), None, Duration::ZERO);
    let (sender, receiver) = channel();
    let (mut random, mut before, begin) = (1_u32, None, clock::now());
    for first in (0..calls).step_by(AT_ONCE) {
        let now = clock::now();
        let mut taken = Vec::with_capacity(2 * AT_ONCE);
        for number in first..first + AT_ONCE as u64 {
            let mut gate = || {
                random = random.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
                let port = pool.take(now, random).ok_or("no port is left")?;
                taken.push(port);
                Ok::<_, &str>(Gate {
                    address,
                    port,
                    is_shared: false,
                })
            };
            let [caller, buyer] = [1, 2].map(|net| phone(net, (number % 60_000) as u16));
            let ends = [end(gate()?, caller), end(gate()?, buyer)];
            relay.connect(SessionId(number), plan(ends))?;
        }
        for number in first..first + AT_ONCE as u64 {
            let sender = sender.clone();
            let done = move |_| sender.send(()).unwrap_or_default();
            relay.close(SessionId(number), Box::new(done));
        }
        for _ in 0..AT_ONCE {
            receiver.recv()?;
        }
        for port in taken {
            pool.give_back(now, port);
        }
        if first == AT_ONCE as u64 {
            before = Some(holds()?);
        }
    }
    let took = begin.elapsed().as_micros() as f64 / calls as f64;
    let (descriptors, kilobytes) = holds()?;
    let (descriptors_before, kilobytes_before) = before.ok_or("too few calls")?;
    let stock = pool.stock(clock::now());
    println!(
        "{calls} calls, {took:.0} us each: {descriptors} descriptors (before {descriptors_before}), \
         {kilobytes} KB (before {kilobytes_before}), {stock:?}"
    );
    if descriptors > descriptors_before || kilobytes > kilobytes_before + 2000 || stock.in_use > 0 {
        return Err("something is left".into());
    }
    Ok(())
}

/// Open descriptors and resident memory of this process, in kilobytes.
fn holds() -> Result<(usize, u64), Box<dyn std::error::Error>> {
    let descriptors = fs::read_dir("/proc/self/fd")?.count();
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok((descriptors, kilobytes.ok_or("no VmRSS")?.parse()?))
}

/// Calls that are up at a time in `churn`.
const AT_ONCE: usize = 500;

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
