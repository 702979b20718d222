//! The program, run by the kernel on packets that come from nowhere (BPF_PROG_TEST_RUN).

use std::io::Write;

use super::*;
use crate::media::plan::Payload;
use crate::media::rtp::Header;
use crate::media::watch::{MAX_DROPOUT, MAX_MISORDER, Watch};

#[test]
fn the_next_packet_leaves_with_new_addresses_and_right_sums() {
    let Some(offload) = offload() else { return };
    let flow = flow(1, &started(&clock::now()));
    let ticket = offload.install(&flow).unwrap();
    for (what, is_summed, length, filled) in [
        ("summed", true, 160, 0),
        ("of an odd length", true, 33, 0),
        ("without a sum", false, 160, 0),
        ("of one byte, filled up to what Ethernet wants", true, 1, 5),
        ("as long as Ethernet allows", true, 1460, 0),
    ] {
        let mut frame = frame(&flow, &rtp(8, 160, length), is_summed);
        frame.resize(frame.len() + filled, 0);

        let (said, out) = bpf::try_out(offload.program.as_fd(), &frame).unwrap();

        assert_eq!(said, REDIRECT, "{what}");
        assert_eq!(out.len(), frame.len(), "{what}");
        let ip = &out[14..];
        let total = u16::from_be_bytes([ip[2], ip[3]]);
        assert_eq!(sum(&[&ip[..20]]), 0, "{what}: IP's sum");
        assert_eq!(
            ip[..10],
            [0x45, 46 << 2, ip[2], ip[3], 0, 0, 0x40, 0, 64, 17],
            "{what}"
        );
        assert_eq!(ip[12..16], flow.leaves.ip().octets(), "{what}");
        assert_eq!(ip[16..20], flow.to.ip().octets(), "{what}");
        assert_eq!(ip[20..22], flow.leaves.port().to_be_bytes(), "{what}");
        assert_eq!(ip[22..24], flow.to.port().to_be_bytes(), "{what}");
        let udp = &ip[20..usize::from(total)];
        if is_summed {
            assert_ne!(udp[6..8], [0, 0], "{what}");
            let length = (udp.len() as u16).to_be_bytes();
            let pseudo = [&ip[12..20], &[0, 17], &length].concat();
            assert_eq!(sum(&[&pseudo, udp]), 0, "{what}: UDP's sum");
        } else {
            assert_eq!(udp[6..8], [0, 0], "{what}: UDP's sum");
        }
        assert_eq!(out[14 + 28..], frame[14 + 28..], "{what}: the sound");
    }
    let progress = offload.read(&ticket).unwrap();
    assert_eq!(
        (progress.packets, progress.bytes),
        (5, 160 + 33 + 160 + 1 + 1460)
    );
}

#[test]
fn whatever_is_not_the_next_packet_is_untouched_and_not_counted() {
    let Some(offload) = offload() else { return };
    let flow = flow(1, &started(&clock::now()));
    let ticket = offload.install(&flow).unwrap();
    let good = frame(&flow, &rtp(8, 160, 160), true);
    assert_eq!(run(&offload, &good), REDIRECT);
    let with = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        frame
    };
    let numbered = |sequence: u16| frame(&flow, &rtp(sequence, 160, 160), true);
    let [ether, ip, udp, rtp_at] = [12, 14, 34, 42];
    let cases = [
        ("to another machine's Ethernet", with(0, 2)),
        ("ARP", with(ether + 1, 6)),
        ("IPv6", with(ip, 0x65)),
        ("options", with(ip, 0x46)),
        ("TCP", with(ip + 9, 6)),
        ("a later fragment", with(ip + 7, 1)),
        ("another source", with(ip + 15, 99)),
        ("another destination", with(ip + 19, 99)),
        ("another source port", with(udp + 1, good[udp + 1] ^ 1)),
        ("another port of ours", with(udp + 3, good[udp + 3] ^ 1)),
        ("a shorter UDP length", with(udp + 5, good[udp + 5] - 1)),
        ("a longer IP length", with(ip + 3, good[ip + 3] + 1)),
        ("version 1", with(rtp_at, 0x40)),
        ("an unknown payload type", with(rtp_at + 1, 18)),
        ("RTCP", with(rtp_at + 1, 200)),
        ("another SSRC", with(rtp_at + 11, 99)),
        ("cut short", good[..53].to_vec()),
        ("far ahead", numbered(8 + MAX_DROPOUT)),
        ("far behind", numbered(8_u16.wrapping_sub(MAX_MISORDER + 1))),
        ("trailing bytes", [&good[..], &[0; 8]].concat()),
    ];
    for (what, packet) in cases {
        let (said, out) = bpf::try_out(offload.program.as_fd(), &packet).unwrap();

        assert_eq!(said, NEXT, "{what}");
        assert_eq!(out, packet, "{what}");
    }

    assert_eq!(offload.read(&ticket).unwrap().packets, 1);
    for sequence in [8, 8_u16.wrapping_sub(MAX_MISORDER), 7 + MAX_DROPOUT] {
        assert_eq!(run(&offload, &numbered(sequence)), REDIRECT, "{sequence}");
    }
}

#[test]
fn nothing_overtakes_a_packet_that_the_sockets_pass_on() {
    let Some(offload) = offload() else { return };
    let flow = flow(1, &started(&clock::now()));
    let good = frame(&flow, &rtp(8, 160, 160), true);
    let with = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        frame
    };
    let mut fragment = frame(&flow, &rtp(8, 160, 600), true);
    fragment.truncate(14 + 20 + 400);
    fragment[16..18].copy_from_slice(&420_u16.to_be_bytes());
    fragment[20] = 0x20;
    let [flags, rtp_at] = [20, 42];
    for (what, packet) in [
        ("padding", with(rtp_at, 0xa0)),
        ("an extension", with(rtp_at, 0x90)),
        ("a source that contributes", with(rtp_at, 0x81)),
        ("telephone-event", with(rtp_at + 1, 101)),
        ("comfort noise", with(rtp_at + 1, 13)),
        ("its marker", with(rtp_at + 1, 0x80 | 101)),
        (
            "longer than Ethernet's",
            frame(&flow, &rtp(9, 160, 1461), true),
        ),
        ("a first fragment", fragment),
        ("one that has no others", with(flags, 0x20)),
    ] {
        let ticket = offload.install(&flow).unwrap();
        assert_eq!(run(&offload, &good), REDIRECT, "{what}");

        let (said, out) = bpf::try_out(offload.program.as_fd(), &packet).unwrap();

        assert_eq!((said, out), (NEXT, packet), "{what}");
        assert_eq!(run(&offload, &good), NEXT, "{what}: what follows it");
        assert_eq!(offload.read(&ticket).unwrap().packets, 1, "{what}");
        assert_eq!(offload.withdraw(ticket).unwrap().packets, 1, "{what}");
        assert!(offload.is_empty(), "{what}");
    }
}

#[test]
fn what_is_longer_than_the_way_allows_goes_to_the_sockets() {
    let Some(offload) = offload() else { return };
    let flow = flow(1, &started(&clock::now()));
    for limit in [41, 200, 1499] {
        let ticket = offload.install(&flow).unwrap();
        let word = &offload.slot(ticket.slot).unwrap().words[slot::LIMIT];
        assert_eq!(word.load(Ordering::Relaxed), u64::from(LONGEST));
        // As if a router had said so.
        word.store(limit, Ordering::Relaxed);
        let fitting = frame(&flow, &rtp(8, 160, limit as usize - 40), true);
        let longer = frame(&flow, &rtp(9, 160, limit as usize - 39), true);

        assert_eq!(run(&offload, &fitting), REDIRECT, "{limit}");
        assert_eq!(run(&offload, &longer), NEXT, "{limit}");
        assert_eq!(run(&offload, &fitting), NEXT, "{limit}: not faster");

        assert_eq!(offload.withdraw(ticket).unwrap().packets, 1, "{limit}");
    }
}

#[test]
fn the_kernel_counts_as_the_watch_does() {
    let Some(offload) = offload() else { return };
    for (what, first, numbers) in [
        ("in order", 0_u16, (1..60).collect::<Vec<i32>>()),
        ("with loss", 100, (1..200).filter(|n| n % 7 != 3).collect()),
        ("reordered", 5, (0..40).map(|n| n ^ 1).collect()),
        ("over the wrap", 65_530, (1..30).collect()),
        ("late over the wrap", 65_534, vec![2, 1, 3, 5, 4]),
        ("twice", 9, vec![1, 1, 2, 3, 3, 3, 4]),
        (
            "in leaps",
            77,
            vec![2999, 5998, 5899, 8000, 70_000 - 65_536 + 6_000],
        ),
    ] {
        for clock in [8000, 48_000, 90_000] {
            let origin = clock::now();
            let mut watch = watch(origin, first, clock);
            let flow = flow(1, &watch);
            let ticket = offload.install(&flow).unwrap();
            for (turn, ahead) in numbers.iter().enumerate() {
                let sequence = first.wrapping_add(*ahead as u16);
                // Uneven, once far away, and over the wrap of timestamps.
                let mut timestamp = u32::MAX
                    .wrapping_sub(3000)
                    .wrapping_add(*ahead as u32 * 160);
                if turn == 4 {
                    timestamp = timestamp.wrapping_add(clock * 60);
                }
                thread::sleep(Duration::from_micros(37 * (turn as u64 % 5)));
                let packet = rtp(sequence, timestamp, 160);

                assert_eq!(run(&offload, &frame(&flow, &packet, true)), REDIRECT);

                let progress = offload.read(&ticket).unwrap();
                let header = Header::parse(&packet).unwrap();
                watch.handle(progress.last, &header, payload(clock), &[0; 160]);
                let other = watch.lend().unwrap();
                assert_eq!(progress.highest, other.highest, "{what} {clock} {turn}");
                assert_eq!(progress.transit, other.transit, "{what} {clock} {turn}");
                assert_eq!(progress.jitter, other.jitter, "{what} {clock} {turn}");
                assert_eq!(progress.jitter_max, other.jitter_max, "{what} {turn}");
                assert_eq!(progress.packets, turn as u64 + 1);
            }
            let all = offload.withdraw(ticket).unwrap();
            let mut absorbing = self::watch(origin, first, clock);
            absorbing.absorb(all.packets, &all);
            assert_eq!(absorbing.lost_of(), watch.lost_of(), "{what} {clock}");
            assert_eq!(absorbing.jitter(), watch.jitter(), "{what} {clock}");
            assert_eq!(absorbing.jitter_max(), watch.jitter_max(), "{what} {clock}");
            assert!(watch.jitter_max() > Duration::ZERO, "{what} {clock}");
        }
    }
}

#[test]
fn a_withdrawn_stream_is_nobodys_until_its_slot_is_used_again() {
    let Some(offload) = offload() else { return };
    let watch = started(&clock::now());
    let [one, other] = [1, 2].map(|number| flow(number, &watch));
    let packet = frame(&one, &rtp(8, 160, 160), true);
    let ticket = offload.install(&one).unwrap();
    assert!(matches!(offload.install(&one), Err(Unwilling::Twice)));
    assert_eq!((offload.len(), run(&offload, &packet)), (1, REDIRECT));

    let progress = offload.withdraw(ticket).unwrap();

    assert_eq!(progress.packets, 1);
    let span = clock::now().saturating_duration_since(progress.last);
    assert!(span < Duration::from_secs(5), "{span:?}");
    assert_eq!((offload.len(), run(&offload, &packet)), (0, NEXT));
    let ticket = offload.install(&other).unwrap();
    assert_eq!(run(&offload, &packet), NEXT);
    let again = frame(&other, &rtp(8, 160, 160), true);
    assert_eq!(run(&offload, &again), REDIRECT);
    assert_eq!(offload.withdraw(ticket).unwrap().packets, 1);
}

#[test]
fn a_program_that_comes_late_by_a_slot_finds_other_addresses_there() {
    let Some(offload) = offload() else { return };
    let watch = started(&clock::now());
    let other = flow(2, &watch);
    let ticket = offload.install(&other).unwrap();
    let mut elsewhere = other;
    elsewhere.from.set_ip(Ipv4Addr::new(127, 0, 0, 99));
    for one in [flow(1, &watch), elsewhere] {
        // As if the index still said that the slot is this stream's.
        let mut key = [0; KEY];
        key.copy_from_slice(&frame(&one, &[], false)[26..38]);
        let slot = ticket.slot.to_ne_bytes();
        offload.index.insert(&key, &slot).unwrap();

        let packet = frame(&one, &rtp(8, 160, 160), true);
        assert_eq!(run(&offload, &packet), NEXT, "{one:?}");
    }

    assert_eq!(offload.withdraw(ticket).unwrap().packets, 0);
}

#[test]
fn when_it_is_full_streams_stay_with_the_sockets() {
    let Some(offload) = offload() else { return };
    let watch = started(&clock::now());
    let mut tickets = Vec::new();
    let error = loop {
        match offload.install(&flow(tickets.len() as u16, &watch)) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) if tickets.len() == MOST as usize => break error,
            Err(error) => panic!("{error} after {}", tickets.len()),
        }
    };

    assert!(matches!(error, Unwilling::Full));
    let one = tickets.pop().unwrap();
    assert!(offload.withdraw(one).is_some());
    assert!(offload.install(&flow(65_535, &watch)).is_ok());
}

#[test]
fn a_slot_that_the_program_never_gives_back_is_lost_and_nothing_else() {
    let Some(offload) = offload() else { return };
    let flow = flow(1, &started(&clock::now()));
    let packet = frame(&flow, &rtp(8, 160, 160), true);
    let ticket = offload.install(&flow).unwrap();
    assert_eq!(run(&offload, &packet), REDIRECT);
    let lost = ticket.slot;
    let stuck = offload.slot(lost).unwrap().lock;
    stuck.fetch_add(1, Ordering::Relaxed);
    assert_eq!(run(&offload, &packet), NEXT);
    assert_eq!(offload.read(&ticket), None);

    let begun = clock::now();
    let progress = offload.withdraw(ticket).unwrap();

    let took = clock::now().saturating_duration_since(begun);
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!((progress.packets, offload.len()), (1, 1));
    assert_eq!(run(&offload, &packet), NEXT);
    // Another slot is the stream's now, and the first one nobody's.
    let ticket = offload.install(&flow).unwrap();
    assert_eq!(run(&offload, &packet), REDIRECT);
    assert_eq!(offload.withdraw(ticket).unwrap().packets, 1);
    assert!(!offload.books().free.contains(&lost));
    // Even if the program gives it back after all.
    stuck.fetch_add(1, Ordering::Relaxed);
    assert_eq!(run(&offload, &packet), NEXT);
    assert!(!offload.books().free.contains(&lost));
}

#[test]
fn what_the_kernel_forwards_it_does_not_forward_again() {
    let Some(offload) = offload() else { return };
    let one = flow(1, &started(&clock::now()));
    let after = Flow {
        from: one.leaves,
        gate: one.to,
        leaves: SocketAddrV4::new(*one.gate.ip(), 24_008),
        to: SocketAddrV4::new(*one.from.ip(), 30_008),
        ..one
    };
    let before = Flow {
        from: after.leaves,
        gate: after.to,
        leaves: one.from,
        to: one.gate,
        ..one
    };
    let round = Flow {
        leaves: one.from,
        to: one.gate,
        ..one
    };
    assert!(matches!(offload.install(&round), Err(Unwilling::Twice)));
    let ticket = offload.install(&one).unwrap();

    for other in [&after, &before] {
        let error = offload.install(other).unwrap_err();
        assert!(matches!(error, Unwilling::Twice), "{error}");
    }

    assert_eq!(offload.len(), 1);
    assert!(offload.withdraw(ticket).is_some());
    for other in [after, before] {
        let ticket = offload.install(&other).unwrap();
        assert!(offload.withdraw(ticket).is_some());
    }
    assert!(offload.books().courses.is_empty());
}

#[test]
fn where_there_is_no_way_nothing_is_installed() {
    let Some(offload) = offload() else { return };
    let mut flow = flow(1, &started(&clock::now()));
    flow.leaves = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4000);

    let error = offload.install(&flow).unwrap_err();

    assert!(matches!(error, Unwilling::NoWay(_)), "{error}");
    assert!(offload.is_empty());
}

#[test]
fn a_stream_whose_way_has_changed_is_known() {
    let Some(offload) = offload() else { return };
    let mut ticket = offload.install(&flow(1, &started(&clock::now()))).unwrap();
    assert!(offload.is_on_its_way(&ticket));

    let ways = ticket.ways;
    let changes: [fn(&mut Ways); 3] = [
        |ways| ways.out.interface += 1,
        |ways| ways.out.limit = Some(1300),
        |ways| ways.back += 1,
    ];
    for change in changes {
        change(&mut ticket.ways);
        assert!(!offload.is_on_its_way(&ticket), "{:?}", ticket.ways);
        ticket.ways = ways;
    }
    for end in 0..2 {
        let own = ticket.ends[end].0;
        ticket.ends[end].0 = Ipv4Addr::new(192, 0, 2, 1);
        assert!(!offload.is_on_its_way(&ticket), "none is left");
        ticket.ends[end].0 = own;
        assert!(offload.is_on_its_way(&ticket));
    }
}

#[test]
fn a_packet_that_comes_in_elsewhere_is_untouched() {
    let Some(offload) = offload() else { return };
    let flow = flow(1, &started(&clock::now()));
    let ticket = offload.install(&flow).unwrap();
    let ingress = &offload.slot(ticket.slot).unwrap().words[slot::INGRESS];
    let lo = ingress.load(Ordering::Relaxed);

    ingress.store(lo + 1, Ordering::Relaxed);
    assert_eq!(run(&offload, &frame(&flow, &rtp(8, 160, 160), true)), NEXT);
    ingress.store(lo, Ordering::Relaxed);
    assert_eq!(
        run(&offload, &frame(&flow, &rtp(8, 160, 160), true)),
        REDIRECT
    );
}

#[test]
fn a_stream_that_comes_in_where_no_program_is_is_not_installed() {
    let Some(mut offload) = offload() else { return };
    offload.links.clear();

    let error = offload
        .install(&flow(1, &started(&clock::now())))
        .unwrap_err();

    assert!(matches!(error, Unwilling::NoWay(_)), "{error}");
}

#[test]
fn an_interface_that_there_is_not_is_told_of() {
    if offload().is_none() {
        return;
    }
    let (offload, unattached) = Offload::start(&["nowhere0".into()], 46).unwrap();

    assert_eq!(offload.interfaces(), 0);
    let [one] = unattached.as_slice() else {
        panic!("{unattached:?}");
    };
    assert!(one.to_string().starts_with("interface nowhere0: "), "{one}");
}

/// The kernel's part; `None`, loudly, where it cannot be had: then it has to be for want of rights or of such a kernel.
pub(crate) fn offload() -> Option<Offload> {
    let started = Offload::start(&["lo".into()], 46);
    let attached = started.and_then(|(offload, mut unattached)| match unattached.pop() {
        None => Ok(offload),
        Some(Unattached { source, .. }) => Err(source),
    });
    match attached {
        Ok(offload) => Some(offload),
        Err(error) => {
            // Whatever else it is, a program that the kernel finds fault with among it, is a fault of ours.
            let codes = [libc::EPERM, libc::EINVAL, libc::ENOSYS];
            let code = error.raw_os_error();
            assert!(code.is_some_and(|code| codes.contains(&code)), "{error}");
            // Not by a macro: what those write is shown of tests that fail only.
            let text =
                format!("NOT TESTED: streams cannot be forwarded in the kernel here: {error}\n");
            io::stderr().write_all(text.as_bytes()).unwrap();
            None
        }
    }
}

fn run(offload: &Offload, packet: &[u8]) -> i32 {
    bpf::try_out(offload.program.as_fd(), packet).unwrap().0
}

fn started(now: &Instant) -> Watch {
    watch(*now, 7, 8000)
}

fn watch(origin: Instant, first: u16, clock: u32) -> Watch {
    let mut watch = Watch::new(origin, false);
    // The second one settles the clock.
    for _ in 0..2 {
        let header = Header::parse(&rtp(first, u32::MAX.wrapping_sub(3000), 160)).unwrap();
        watch.handle(clock::now(), &header, payload(clock), &[0; 160]);
    }
    watch
}

fn payload(clock: u32) -> Payload {
    Payload {
        number: 0,
        clock,
        is_dtmf: false,
    }
}

fn flow(number: u16, watch: &Watch) -> Flow {
    let at = |last: u8, port: u16| SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), port);
    Flow {
        from: at(21, number),
        gate: at(22, 24_000),
        leaves: at(23, 24_002),
        to: at(24, number),
        payloads: 1 | 1 << 8 | 1 << 111,
        others: 1 << 13 | 1 << 101,
        loan: watch.lend().unwrap(),
    }
}

fn rtp(sequence: u16, timestamp: u32, length: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend([0xde, 0xad, 0xbe, 0xef]);
    packet.extend((0..length).map(|at| at as u8));
    packet
}

fn frame(flow: &Flow, payload: &[u8], is_summed: bool) -> Vec<u8> {
    let length = (payload.len() + 8) as u16;
    let mut udp = [flow.from.port(), flow.gate.port(), length, 0]
        .map(u16::to_be_bytes)
        .concat();
    udp.extend(payload);
    let addresses = [flow.from.ip().octets(), flow.gate.ip().octets()].concat();
    if is_summed {
        let pseudo = [&addresses[..], &[0, 17], &length.to_be_bytes()].concat();
        let sum = sum(&[&pseudo, &udp]).to_be_bytes();
        udp[6..8].copy_from_slice(&sum);
    }
    let mut ip = vec![0x45, 0];
    ip.extend((length + 20).to_be_bytes());
    ip.extend([0x12, 0x34, 0, 0, 57, 17, 0, 0]);
    ip.extend(addresses);
    let sum = sum(&[&ip]).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    // To the loopback's own address of Ethernet.
    [&[0; 6][..], &[2; 6], &[8, 0], &ip, &udp].concat()
}

/// The sum of the internet (RFC 1071); zero over what has the right one in it.
fn sum(parts: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = parts.concat();
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default()));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

const REDIRECT: i32 = 7;
const NEXT: i32 = -1;
