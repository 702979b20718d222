//! A call with sound: baresip calls baresip through the edge, and each hears the other's tone.

use std::f64::consts::TAU;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::baresip::Baresip;
use crate::calls::is_completed;
use crate::edge::Edge;
use crate::site::BUYER_NAME;
use crate::site::BY_ADDRESS;
use crate::site::BY_CERTIFICATE;
use crate::site::BY_DIGEST;
use crate::site::CARRIER_NAME;
use crate::site::NUMBER;
use crate::site::Site;
use crate::site::Transport;
use crate::site::USER;

#[test]
fn two_telephones_hear_each_other() {
    talk(Transport::Udp, BY_ADDRESS, "", "caller");
}

/// baresip 1.0 gives up if anything but MD5 is offered beside it, so this domain offers MD5 alone.
#[test]
fn two_telephones_hear_each_other_after_digest_and_the_buyer_hangs_up() {
    let login = format!(";auth_user={};auth_pass={}", USER.0, USER.1);
    talk(Transport::Udp, BY_DIGEST, &login, "buyer");
}

/// The connections of baresip 1.0 do not come from its own address, so it is its certificate that lets it in. The edge
/// verifies both telephones; they themselves verify nobody.
#[test]
fn two_telephones_hear_each_other_over_tls() {
    talk(Transport::Tls, BY_CERTIFICATE, "", "caller");
}

#[test]
fn two_telephones_hear_each_other_over_tls_after_digest_and_the_buyer_hangs_up() {
    let login = format!(";auth_user={};auth_pass={}", USER.0, USER.1);
    talk(Transport::Tls, BY_DIGEST, &login, "buyer");
}

/// What baresip 1.0 sends on loopback comes from 127.0.0.1, whatever its session description says: as from behind NAT.
const BEHIND_NAT: &str = "sources = \"learned\", networks = [\"127.0.0.1/32\"]";

#[test]
fn two_telephones_hear_each_other_through_the_relay() {
    let site = Site::new().relayed(BEHIND_NAT);
    let record = talk_at(site, Transport::Udp, BY_ADDRESS, "", "caller");

    for side in ["caller", "buyer"] {
        let heard = &record["media"][side];
        let packets = heard["packets"].as_u64().expect("a count");
        assert!((100..400).contains(&packets), "{heard}");
        assert_eq!(heard["bytes"].as_u64(), Some(packets * 160), "{heard}");
        assert_eq!(heard["lost"], 0, "{heard}");
        let mos = heard["mos_hundredths"].as_u64().expect("a score");
        assert!((400..=450).contains(&mos), "{heard}");
    }
}

fn talk(transport: Transport, domain: &str, login: &str, hung_up_by: &str) {
    let record = talk_at(Site::new(), transport, domain, login, hung_up_by);
    assert_eq!(record["media"], Value::Null);
}

fn talk_at(
    mut site: Site,
    transport: Transport,
    domain: &str,
    login: &str,
    hung_up_by: &str,
) -> Value {
    let address = site.next_buyer();
    let media = site.trunk_media().unwrap_or_default();
    site.buyer_with("first", address, |buyer| {
        buyer.transport = transport;
        buyer.media = media;
    });
    let edge = Edge::start(&site);

    let by = format!(";transport={}", transport.name());
    let account =
        format!("<sip:first@{address}{by}>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1");
    let mut buyer = Baresip::start(&site, "buyer", address, 880, &account, BUYER_NAME);
    let from = if login.is_empty() {
        site.carrier()
    } else {
        site.stranger()
    };
    let account = format!(
        "<sip:+12125550142@{domain}{by}>;regint=0;outbound=\"sip:{}:{}{by}\";audio_codecs=PCMU/8000/1{login}",
        site.edge(),
        transport.port()
    );
    let mut carrier = Baresip::start(&site, "carrier", from, 440, &account, CARRIER_NAME);

    carrier.command("dial", &format!("sip:{NUMBER}@{domain}"));
    carrier.sees("CALL_ESTABLISHED");
    buyer.sees("CALL_ESTABLISHED");
    thread::sleep(Duration::from_secs(3));
    let ender = if hung_up_by == "caller" {
        &mut carrier
    } else {
        &mut buyer
    };
    ender.command("hangup", "");
    carrier.sees("CALL_CLOSED");
    buyer.sees("CALL_CLOSED");

    let record = edge.record();
    is_completed(&record, "first", hung_up_by);
    edge.holds_no_call();
    let (at_carrier, at_buyer) = (carrier.heard(), buyer.heard());
    let share = share_of(880.0, &at_carrier);
    assert!(
        share > 0.8,
        "the carrier heard the buyer's tone as {share:.2} of all"
    );
    let share = share_of(440.0, &at_buyer);
    assert!(
        share > 0.8,
        "the buyer heard the carrier's tone as {share:.2} of all"
    );
    record
}

/// How much of the energy in the middle half of a WAV recording is at one frequency (Goertzel): 0 to 1.
fn share_of(hertz: f64, wav: &[u8]) -> f64 {
    let (rate, samples) = read_wav(wav);
    assert!(
        samples.len() as f64 > rate,
        "less than a second was recorded: {} samples",
        samples.len()
    );
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];

    let step = 2.0 * (TAU * hertz / rate).cos();
    let (mut last, mut before, mut energy) = (0.0, 0.0, 0.0);
    for sample in middle {
        let next = sample + step * last - before;
        before = last;
        last = next;
        energy += sample * sample;
    }
    let power = last * last + before * before - step * last * before;
    2.0 * power / (energy.max(1.0) * middle.len() as f64)
}

/// Rate and samples of the first channel of 16-bit PCM.
fn read_wav(wav: &[u8]) -> (f64, Vec<f64>) {
    let word = |at: usize| u16::from_le_bytes([wav[at], wav[at + 1]]);
    let long = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
    let (mut at, mut rate, mut channels) = (12, 8000.0, 1);
    while wav.len() >= at + 8 {
        let (id, length) = (&wav[at..at + 4], long(at + 4) as usize);
        let start = at + 8;
        if id == b"fmt " {
            channels = usize::from(word(start + 2));
            rate = f64::from(long(start + 4));
        } else if id == b"data" {
            let data = &wav[start..wav.len().min(start + length)];
            let frames = data.chunks_exact(2 * channels);
            let sample = |frame: &[u8]| f64::from(i16::from_le_bytes([frame[0], frame[1]]));
            return (rate, frames.map(sample).collect());
        }
        at = start + length + length % 2;
    }
    (rate, Vec::new())
}

#[test]
fn a_tone_is_told_from_another() {
    let mut wav =
        b"RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data".to_vec();
    wav.extend(32000_u32.to_le_bytes());
    for place in 0..16000 {
        let value = 8000.0 * (TAU * 440.0 * f64::from(place) / 8000.0).sin();
        wav.extend((value as i16).to_le_bytes());
    }

    assert!(share_of(440.0, &wav) > 0.99);
    assert!(share_of(880.0, &wav) < 0.01);
}
