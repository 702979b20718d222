//! Published vectors, and behaviour over many packets.

use proptest::prelude::*;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::media::plan::{Keys, Suite};
use crate::media::srtp::derive::{Aes, Derived, Use};
use crate::media::srtp::sender::MOST_SOURCES;
use crate::media::srtp::suite::{MOST_RTCP_GROWTH, MOST_RTP_GROWTH};
use crate::media::srtp::transform::{Place, Transform};
use crate::media::srtp::{Receiver, Sender, Why};

/// RFC 3711 B.2.
#[test]
fn the_keystream_is_the_published_one() {
    let aes = Aes::new(&hex("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
    let iv = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000").try_into().unwrap();
    let mut stream = vec![0; 0xff02 * 16];

    aes.apply(&iv, &mut stream);

    let first = "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0";
    assert_eq!(stream[..48], hex(first));
    let last = "ec8cdf7398607cb0f2d21675ea9ea1e4362b7c3c6773516318a077d7fc5073ae6a2cc3787889374fbeb4c81b17ba6c44";
    assert_eq!(stream[0xfeff * 16..][..48], hex(last));
}

/// RFC 3711 B.3, RFC 6188 §7.2.
#[test]
fn derived_keys_are_the_published_ones() {
    let table = [
        (
            Suite::Aes128Sha1Tag80,
            "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
            "c61e7a93744f39ee10734afe3ff7a087",
            "30cbbc08863d8c85d49db34a9ae1",
            "cebe321f6ff7716b6fd4ab49af256a156d38baa4",
        ),
        (
            Suite::Aes256Sha1Tag80,
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2",
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
            "fa31791685ca444a9e07c6c64e93",
            "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
        ),
    ];

    for (suite, secret, key, salt, auth) in table {
        let derived = Derived::new(&keys(suite, secret), Use::Rtp).unwrap();
        assert_eq!(derived.key(), hex(key));
        assert_eq!(derived.salt[..], hex(salt));
        assert_eq!(derived.auth[..], hex(auth));
    }
}

/// From libsrtp's `srtp_driver.c`, which other implementations test with too: whole packets, from master keys on.
#[test]
fn packets_are_the_published_ones() {
    const RTP: &str = "800f1234decafbadcafebabe abababababababababababababababab";
    const RTCP: &str = "81c8000bcafebabe abababababababababababababababab";
    let short = "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6";
    let long = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2";
    let gcm = "000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab";
    let table = [
        (
            Suite::Aes128Sha1Tag80,
            short,
            "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb",
            Some("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798"),
        ),
        (
            Suite::Aes128Sha1Tag32,
            short,
            "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc",
            Some("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798"),
        ),
        (
            Suite::Aes256Sha1Tag80,
            long,
            "800f1234decafbadcafebabe f1d9de17ff251ff1aa007774b0b4b40d a08d9d9a5b3a55d8873b",
            None,
        ),
        (
            Suite::Aes256Sha1Tag32,
            long,
            "800f1234decafbadcafebabe f1d9de17ff251ff1aa007774b0b4b40d a08d9d9a",
            None,
        ),
        (
            Suite::Aes128Gcm,
            gcm,
            "800f1234decafbadcafebabe c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392",
            Some(
                "81c8000bcafebabe c98b8b5df0392a55852b6c21ac8e7025 c52c6fbea2b3b446ea31123ba88ce61e 80000001",
            ),
        ),
    ];

    for (suite, secret, srtp, srtcp) in table {
        let mut sender = Sender::new(&keys(suite, secret)).unwrap();
        let mut receiver = Receiver::new(&keys(suite, secret)).unwrap();
        let protected = sender.rtp(&hex(RTP)).unwrap();
        assert_eq!(text(&protected), squeeze(srtp), "{suite:?}");
        assert_eq!(receiver.rtp(&protected).unwrap(), hex(RTP));

        // Theirs begin at 1, ours at 0 (RFC 3711 §3.4).
        sender.rtcp(&hex(RTCP)).unwrap();
        let protected = sender.rtcp(&hex(RTCP)).unwrap();
        if let Some(srtcp) = srtcp {
            assert_eq!(text(&protected), squeeze(srtcp), "{suite:?}");
        }
        assert_eq!(receiver.rtcp(&protected).unwrap(), hex(RTCP));
    }
}

/// RFC 7714 §16.1.1, §16.2.1, §17.1 and §17.2, which give session keys.
#[test]
fn gcm_packets_are_the_published_ones() {
    let salt = hex("517569642070726f2071756f").try_into().unwrap();
    let short = Transform::from_session_keys(&(0..16).collect::<Vec<u8>>(), salt);
    let long = Transform::from_session_keys(&(0..32).collect::<Vec<u8>>(), salt);
    let rtp = hex(
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573",
    );
    let place = Place {
        ssrc: 0x5501_a0b2,
        index: 0xf17b,
    };
    for (transform, expected) in [
        (
            &short,
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            &long,
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let mut packet = [rtp.clone(), vec![0; 16]].concat();
        transform.seal_rtp(&mut packet, 12, place).unwrap();
        assert_eq!(text(&packet), expected);
        assert_eq!(transform.open_rtp(&mut packet, 12, place), Ok(rtp.len()));
        assert_eq!(packet[..rtp.len()], rtp);
    }

    let rtcp = hex(
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    );
    let place = Place {
        ssrc: 0x4d61_7273,
        index: 0x5d4,
    };
    for (transform, expected) in [
        (
            &short,
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            &long,
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ] {
        let mut packet = [rtcp.clone(), vec![0; 20]].concat();
        transform.seal_rtcp(&mut packet, place).unwrap();
        assert_eq!(text(&packet), expected);
        assert_eq!(transform.rtcp_index(&packet), Ok(0x5d4));
        assert_eq!(transform.open_rtcp(&mut packet, place), Ok(rtcp.len()));
        assert_eq!(packet[..rtcp.len()], rtcp);
    }
}

/// The collection's own vectors, among them one behind a rollover.
#[test]
fn shared_vectors_hold() {
    let Some(vectors) = shared_vectors() else {
        return;
    };
    let mut tried = 0;
    for vector in vectors["packets"].as_array().unwrap() {
        let of = |name: &str| vector[name].as_str().map(hex);
        let suite = Suite::from_name(vector["suite"].as_str().unwrap().as_bytes()).unwrap();
        let (Some(key), Some(salt)) = (of("master_key"), of("master_salt")) else {
            continue;
        };
        let secret = Zeroizing::new([key, salt].concat());
        let keys = Keys { suite, secret };
        let mut sender = Sender::new(&keys).unwrap();
        let mut receiver = Receiver::new(&keys).unwrap();
        if let (Some(plain), Some(protected)) = (of("rtp"), of("srtp")) {
            let ssrc = u32::from_be_bytes(plain[8..12].try_into().unwrap());
            let rollover = vector["roc"].as_u64().unwrap();
            // A sequence number before each rollover, and one between, brings both there.
            for sequence in (0..rollover).flat_map(|_| [30_000, 60_000]) {
                let packet = sender.rtp(&rtp(sequence, ssrc)).unwrap();
                receiver.rtp(&packet).unwrap();
            }
            assert_eq!(sender.rtp(&plain).unwrap(), protected, "{vector}");
            assert_eq!(receiver.rtp(&protected).unwrap(), plain, "{vector}");
            tried += 1;
        }
        if let (Some(plain), Some(protected)) = (of("rtcp"), of("srtcp")) {
            let packets = (0..=vector["index"].as_u64().unwrap())
                .map(|_| sender.rtcp(&plain).unwrap())
                .collect::<Vec<_>>();
            assert_eq!(packets.last(), Some(&protected), "{vector}");
            assert_eq!(receiver.rtcp(&protected).unwrap(), plain, "{vector}");
            tried += 1;
        }
    }
    assert!(tried >= 4, "{tried} vectors");
}

#[test]
fn a_call_of_three_rollovers_is_understood() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        // Every 50th packet arrives.
        for packet in (40_000_u32..250_000).step_by(50) {
            let plain = rtp(packet as u16, 7);
            let protected = sender.rtp(&plain).unwrap();
            assert_ne!(protected[12..plain.len()], plain[12..]);
            assert_eq!(receiver.rtp(&protected).unwrap(), plain, "{packet}");
        }
    }
}

#[test]
fn packets_in_disorder_come_through_once() {
    let (mut sender, mut receiver) = pair(Suite::Aes128Sha1Tag80);
    let protected: Vec<_> = (65_450_u32..65_650)
        .map(|packet| sender.rtp(&rtp(packet as u16, 7)).unwrap())
        .collect();

    // Across the rollover, each pair turned round.
    for two in protected.chunks(2) {
        assert!(receiver.rtp(&two[1]).is_ok());
        assert!(receiver.rtp(&two[0]).is_ok());
    }

    let last = protected.len() - 1;
    for (at, packet) in protected.iter().enumerate() {
        let expected = if last - at < 128 {
            Why::Replayed
        } else {
            Why::Old
        };
        assert_eq!(receiver.rtp(packet), Err(expected), "{at}");
    }
}

#[test]
fn rtcp_comes_through_once() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let protected: Vec<_> = (0..200).map(|_| sender.rtcp(&rtcp(7)).unwrap()).collect();

        for two in protected.chunks(2) {
            assert_eq!(receiver.rtcp(&two[1]), Ok(rtcp(7)));
            assert_eq!(receiver.rtcp(&two[0]), Ok(rtcp(7)));
        }

        assert_eq!(receiver.rtcp(&protected[199]), Err(Why::Replayed));
        assert_eq!(receiver.rtcp(&protected[72]), Err(Why::Replayed));
        assert_eq!(receiver.rtcp(&protected[71]), Err(Why::Old));
    }
}

#[test]
fn rtcp_that_is_not_encrypted_is_refused() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let mut protected = sender.rtcp(&rtcp(7)).unwrap();
        let tag = if suite.is_aead() { 0 } else { 10 };
        let at = protected.len() - 4 - tag;
        assert_eq!(protected[at], 0x80);
        protected[at] = 0;

        assert_eq!(receiver.rtcp(&protected), Err(Why::Clear));
    }
}

#[test]
fn forgeries_by_the_thousand_change_nothing() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let first = sender.rtp(&rtp(1000, 7)).unwrap();
        receiver.rtp(&first).unwrap();
        let report = sender.rtcp(&rtcp(7)).unwrap();
        let good: Vec<_> = (1001..1400)
            .map(|sequence| sender.rtp(&rtp(sequence, 7)).unwrap())
            .collect();

        // Any sequence number of the known SSRC, any SSRC, any bit of a real packet, and RTCP's index.
        for n in 0..10_000_u32 {
            let mut forged = good[0].clone();
            forged[2..4].copy_from_slice(&(n.wrapping_mul(40_503) as u16).to_be_bytes());
            if n % 3 == 0 {
                forged[8..12].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
            }
            assert_refused(receiver.rtp(&forged));
            let mut forged = good[0].clone();
            let bit = 8 * 12 + n as usize % (8 * (forged.len() - 12));
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_refused(receiver.rtp(&forged));
            let mut forged = report.clone();
            let bit = 8 * 8 + n as usize % (8 * (forged.len() - 8));
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_refused(receiver.rtcp(&forged));
        }

        for packet in &good {
            assert!(receiver.rtp(packet).is_ok(), "{suite:?}");
        }
        assert_eq!(receiver.rtcp(&report), Ok(rtcp(7)));
        assert_eq!(receiver.rtp(&first), Err(Why::Old));
    }
}

fn assert_refused(result: Result<Vec<u8>, Why>) {
    let why = result.expect_err("a forgery was taken");
    assert!(
        matches!(why, Why::Forged | Why::Old | Why::Replayed | Why::Clear),
        "{why:?}"
    );
}

#[test]
fn every_source_has_a_rollover_of_its_own() {
    let (mut sender, mut receiver) = pair(Suite::Aes256Gcm);
    for sequence in [65_000, 65_535, 0, 1] {
        let packet = sender.rtp(&rtp(sequence, 7)).unwrap();
        receiver.rtp(&packet).unwrap();
    }

    let other = sender.rtp(&rtp(2, 8)).unwrap();
    let again = sender.rtp(&rtp(2, 7)).unwrap();

    assert_eq!(receiver.rtp(&other), Ok(rtp(2, 8)));
    assert_eq!(receiver.rtp(&again), Ok(rtp(2, 7)));
    // The same under the rollover of a fresh source is another packet.
    let mut fresh = pair(Suite::Aes256Gcm).1;
    assert_eq!(fresh.rtp(&again), Err(Why::Forged));
}

#[test]
fn a_receiver_forgets_the_source_it_has_not_heard_for_longest() {
    let (mut sender, mut receiver) = pair(Suite::Aes128Gcm);
    let protected: Vec<_> = (0..40)
        .map(|ssrc| sender.rtp(&rtp(1, ssrc)).unwrap())
        .collect();
    let kept = sender.rtp(&rtp(2, 0)).unwrap();
    for packet in &protected[..16] {
        receiver.rtp(packet).unwrap();
    }

    receiver.rtp(&kept).unwrap();
    receiver.rtp(&protected[16]).unwrap();

    assert_eq!(receiver.rtp(&protected[0]), Err(Why::Replayed));
    assert_eq!(receiver.rtp(&protected[2]), Err(Why::Replayed));
    assert!(receiver.rtp(&protected[1]).is_ok(), "it was forgotten");
    for packet in &protected[17..] {
        assert!(receiver.rtp(packet).is_ok());
    }
}

#[test]
fn a_sender_uses_no_keystream_twice() {
    let (mut sender, _) = pair(Suite::Aes128Gcm);
    sender.rtp(&rtp(1000, 7)).unwrap();
    let mut other = rtp(1000, 7);
    other[20] ^= 0xff;

    assert_eq!(sender.rtp(&other), Err(Why::Replayed));
    assert!(sender.rtp(&rtp(1200, 7)).is_ok());
    assert_eq!(sender.rtp(&rtp(1000, 7)), Err(Why::Old));
    assert!(sender.rtp(&rtp(1199, 7)).is_ok());

    for ssrc in 8..7 + MOST_SOURCES as u32 {
        assert!(sender.rtp(&rtp(1000, ssrc)).is_ok());
    }
    assert_eq!(sender.rtp(&rtp(1000, 1_000_000)), Err(Why::Sources));
    assert!(sender.rtp(&rtp(1201, 7)).is_ok());
    assert_eq!(sender.rtp(&rtp(1000, 8)), Err(Why::Replayed));
}

#[test]
fn a_buffer_without_room_leaves_the_packet_as_it_was() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let packet = rtp(1, 7);
        let mut buf = [packet.clone(), vec![0; suite.rtp_tag_length() - 1]].concat();

        assert_eq!(sender.protect_rtp(&mut buf, packet.len()), Err(Why::NoRoom));
        assert_eq!(buf[..packet.len()], packet);
        let beyond = buf.len() + 1;
        assert_eq!(sender.protect_rtp(&mut buf, beyond), Err(Why::NoRoom));

        let report = rtcp(7);
        let mut buf = [report.clone(), vec![0; suite.rtcp_tag_length() + 3]].concat();
        assert_eq!(
            sender.protect_rtcp(&mut buf, report.len()),
            Err(Why::NoRoom)
        );
        assert_eq!(buf[..report.len()], report);

        let protected = sender.rtp(&packet).unwrap();
        assert_eq!(receiver.rtp(&protected), Ok(packet));
    }
}

#[test]
fn keys_of_another_length_are_refused_and_none_is_shown() {
    for suite in Suite::ALL {
        for length in 0..64 {
            let keys = Keys {
                suite,
                secret: Zeroizing::new(vec![0xc5; length]),
            };
            let is_right = length == suite.secret_length();
            assert_eq!(Sender::new(&keys).is_ok(), is_right);
            assert_eq!(Receiver::new(&keys).is_ok(), is_right);
        }
        let (sender, receiver) = pair(suite);
        assert_eq!(
            format!("{sender:?}"),
            format!("Sender {{ suite: {suite:?}, .. }}")
        );
        assert_eq!(
            format!("{receiver:?}"),
            format!("Receiver {{ suite: {suite:?}, .. }}")
        );
    }
}

proptest! {
    #[test]
    fn any_packet_comes_out_as_it_went_in(
        which in 0..Suite::ALL.len(),
        csrcs in 0_u8..16,
        extension in proptest::option::of(0_u16..20),
        payload in proptest::collection::vec(any::<u8>(), 0..1400),
        sequence in any::<u16>(),
        ssrc in any::<u32>(),
    ) {
        let (mut sender, mut receiver) = pair(Suite::ALL[which]);
        let mut packet = rtp(sequence, ssrc)[..12].to_vec();
        packet[0] |= csrcs;
        packet.extend(vec![3; 4 * usize::from(csrcs)]);
        if let Some(words) = extension {
            packet[0] |= 0x10;
            packet.extend([0xbe, 0xde]);
            packet.extend(words.to_be_bytes());
            packet.extend(vec![4; 4 * usize::from(words)]);
        }
        let header = packet.clone();
        packet.extend(&payload);

        let protected = sender.rtp(&packet).unwrap();

        prop_assert_eq!(&protected[..header.len()], &header);
        prop_assert_eq!(receiver.rtp(&protected).unwrap(), packet);
    }
}

/// Whole packets in, whole packets out.
impl Sender {
    fn rtp(&mut self, packet: &[u8]) -> Result<Vec<u8>, Why> {
        let mut buf = [packet, &[0; MOST_RTP_GROWTH]].concat();
        let length = self.protect_rtp(&mut buf, packet.len())?;
        buf.truncate(length);
        Ok(buf)
    }

    fn rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, Why> {
        let mut buf = [packet, &[0; MOST_RTCP_GROWTH]].concat();
        let length = self.protect_rtcp(&mut buf, packet.len())?;
        buf.truncate(length);
        Ok(buf)
    }
}

impl Receiver {
    fn rtp(&mut self, packet: &[u8]) -> Result<Vec<u8>, Why> {
        let mut buf = packet.to_vec();
        let length = self.unprotect_rtp(&mut buf, packet.len())?;
        buf.truncate(length);
        Ok(buf)
    }

    fn rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, Why> {
        let mut buf = packet.to_vec();
        let length = self.unprotect_rtcp(&mut buf, packet.len())?;
        buf.truncate(length);
        Ok(buf)
    }
}

fn pair(suite: Suite) -> (Sender, Receiver) {
    let secret = (0..suite.secret_length()).map(|at| (3 * at) as u8);
    let keys = Keys {
        suite,
        secret: Zeroizing::new(secret.collect()),
    };
    (Sender::new(&keys).unwrap(), Receiver::new(&keys).unwrap())
}

fn keys(suite: Suite, secret: &str) -> Keys {
    Keys {
        suite,
        secret: Zeroizing::new(hex(secret)),
    }
}

fn rtp(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xd5; 160]);
    packet
}

fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x11; 20]);
    packet
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap())
        .collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn squeeze(hex: &str) -> String {
    hex.replace(' ', "")
}

/// The collection's vectors, if they are on this machine.
fn shared_vectors() -> Option<Value> {
    let path = crate::shared::shared("corpus/vectors/srtp.json")?;
    let text = std::fs::read(path).expect("vectors can be read");
    Some(serde_json::from_slice(&text).expect("vectors are JSON"))
}
