//! A call with sound: baresip calls baresip through the edge, and each hears the other's tone.

use std::f64::consts::TAU;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::alone::is_alone;
use crate::baresip::Baresip;
use crate::calls::is_completed;
use crate::edge::Edge;
use crate::rtpengine::Daemon;
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
    Talk::default().happens();
}

/// baresip 1.0 gives up if anything but MD5 is offered beside it, so this domain offers MD5 alone.
#[test]
fn two_telephones_hear_each_other_after_digest_and_the_buyer_hangs_up() {
    let talk = Talk {
        domain: BY_DIGEST,
        hung_up_by: "buyer",
        ..Talk::default()
    };
    talk.happens();
}

/// The connections of baresip 1.0 do not come from its own address, so it is its certificate that lets it in. The edge
/// verifies both telephones; they themselves verify nobody.
#[test]
fn two_telephones_hear_each_other_over_tls() {
    let talk = Talk {
        transport: Transport::Tls,
        domain: BY_CERTIFICATE,
        ..Talk::default()
    };
    talk.happens();
}

#[test]
fn two_telephones_hear_each_other_over_tls_after_digest_and_the_buyer_hangs_up() {
    let talk = Talk {
        transport: Transport::Tls,
        domain: BY_DIGEST,
        hung_up_by: "buyer",
        ..Talk::default()
    };
    talk.happens();
}

/// What baresip 1.0 sends on loopback comes from 127.0.0.1, whatever its session description says: as from behind NAT.
const BEHIND_NAT: &str = "sources = \"learned\", networks = [\"127.0.0.1/32\"]";
const SECURE: &str = "sources = \"learned\", networks = [\"127.0.0.1/32\"], srtp = \"require\"";

#[test]
fn two_telephones_hear_each_other_through_the_relay() {
    let talk = Talk {
        media: Some([BEHIND_NAT, BEHIND_NAT]),
        ..Talk::default()
    };

    let record = talk.happens();

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

#[test]
fn two_telephones_hear_each_other_by_g722_and_by_opus() {
    for codec in ["G722/16000/1", "opus/48000/2"] {
        let talk = Talk {
            codec,
            media: Some([BEHIND_NAT, BEHIND_NAT]),
            ..Talk::default()
        };
        assert_passed(&talk.happens());
    }
}

#[test]
fn two_telephones_hear_each_other_by_srtp_with_keys_of_our_own() {
    let talk = Talk {
        transport: Transport::Tls,
        domain: BY_CERTIFICATE,
        encryption: ["srtp-mand", "srtp-mand"],
        media: Some([SECURE, SECURE]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

#[test]
fn srtp_on_one_side_is_rtp_on_the_other() {
    let to_buyer = Talk {
        encryption: ["", "srtp-mand"],
        media: Some([BEHIND_NAT, SECURE]),
        ..Talk::default()
    };
    assert_passed(&to_buyer.happens());
    let from_caller = Talk {
        encryption: ["srtp-mand", ""],
        media: Some([SECURE, BEHIND_NAT]),
        ..Talk::default()
    };
    assert_passed(&from_caller.happens());
}

#[test]
fn two_telephones_hear_each_other_again_after_a_hold() {
    let talk = Talk {
        has_hold: true,
        media: Some([BEHIND_NAT, BEHIND_NAT]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

#[test]
fn two_telephones_hear_each_other_through_rtpengine_and_again_after_a_hold() {
    let talk = Talk {
        is_far: true,
        has_hold: true,
        media: Some([ANYWHERE, ANYWHERE]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

#[test]
fn two_telephones_hear_each_other_through_rtpengine_by_g722_and_by_opus() {
    for codec in ["G722/16000/1", "opus/48000/2"] {
        let talk = Talk {
            codec,
            is_far: true,
            media: Some([ANYWHERE, ANYWHERE]),
            ..Talk::default()
        };
        assert_passed(&talk.happens());
    }
}

/// Every 49th of what both telephones send is dropped on its way to the relay.
#[test]
fn two_percent_of_loss_show_in_the_record_and_in_the_metrics() {
    let test = "audio::two_percent_of_loss_show_in_the_record_and_in_the_metrics";
    let drop = "iptables -A INPUT -p udp --dport 30000:30099 -m statistic --mode nth --every 49 --packet 0 -j DROP";
    if !is_alone(test, drop) {
        return;
    }
    let talk = Talk {
        media: Some([BEHIND_NAT, BEHIND_NAT]),
        is_lossy: true,
        ..Talk::default()
    };

    let record = talk.happens();

    let count = |side: &str, what: &str| {
        let heard = &record["media"][side];
        heard[what].as_f64().unwrap_or_else(|| panic!("{heard}"))
    };
    let sum = |what| count("caller", what) + count("buyer", what);
    for side in ["caller", "buyer"] {
        assert!(count(side, "lost") >= 1.0, "{record:#}");
        let mos = count(side, "mos_hundredths");
        assert!((250.0..440.0).contains(&mos), "{record:#}");
    }
    let share = sum("lost") / (sum("lost") + sum("packets"));
    assert!((0.01..0.035).contains(&share), "{share}: {record:#}");
}

#[test]
fn srtp_on_one_side_of_rtpengine_is_rtp_on_the_other() {
    let talk = Talk {
        is_far: true,
        encryption: ["", "srtp-mand"],
        media: Some([ANYWHERE, ANYWHERE_SECURE]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

/// rtpengine learns where a party is by itself.
const ANYWHERE: &str = "sources = \"learned\"";
const ANYWHERE_SECURE: &str = "sources = \"learned\", srtp = \"require\"";

fn assert_passed(record: &Value) {
    for side in ["caller", "buyer"] {
        let packets = record["media"][side]["packets"].as_u64();
        assert!(
            packets.is_some_and(|packets| packets > 50),
            "{}",
            record["media"]
        );
    }
}

/// One call between two telephones, each with a tone for a voice.
struct Talk {
    transport: Transport,
    domain: &'static str,
    hung_up_by: &'static str,
    codec: &'static str,
    /// The caller's and the buyer's, as baresip names them; "" is none.
    encryption: [&'static str; 2],
    /// What `media` of the trunk and the buyer says; `None`: it goes directly.
    media: Option<[&'static str; 2]>,
    /// The caller holds the call for a while.
    has_hold: bool,
    /// An rtpengine relays it.
    is_far: bool,
    /// About 2 % of it is lost on the way.
    is_lossy: bool,
}

impl Default for Talk {
    fn default() -> Self {
        Self {
            transport: Transport::Udp,
            domain: BY_ADDRESS,
            hung_up_by: "caller",
            codec: "PCMU/8000/1",
            encryption: ["", ""],
            media: None,
            has_hold: false,
            is_far: false,
            is_lossy: false,
        }
    }
}

impl Talk {
    /// Has it happen, and gives its record.
    fn happens(&self) -> Value {
        let mut site = match self.media {
            Some([trunk, _]) => Site::new().relayed(trunk),
            None => Site::new(),
        };
        let address = site.next_buyer();
        site.buyer_with("first", address, |buyer| {
            buyer.transport = self.transport;
            buyer.media = self.media.map_or("", |[_, buyer]| buyer);
        });
        let daemon = self.is_far.then(|| {
            let place = site.next_buyer();
            Daemon::start(&site, place)
        });
        if let Some(daemon) = &daemon {
            site.lodge_at(daemon.address);
        }
        let edge = Edge::start(&site);

        let by = format!(";transport={}", self.transport.name());
        let [carriers, buyers] = self.encryption.map(|name| match name {
            "" => String::new(),
            name => format!(";mediaenc={name}"),
        });
        let codec = self.codec;
        let account = format!(
            "<sip:first@{address}{by}>;regint=0;answermode=auto;audio_codecs={codec}{buyers}"
        );
        let mut buyer = Baresip::start(&site, "buyer", address, 880, &account, BUYER_NAME);
        let (from, login) = if self.domain == BY_DIGEST {
            let login = format!(";auth_user={};auth_pass={}", USER.0, USER.1);
            (site.stranger(), login)
        } else {
            (site.carrier(), String::new())
        };
        let account = format!(
            "<sip:+12125550142@{domain}{by}>;regint=0;outbound=\"sip:{}:{}{by}\";audio_codecs={codec}{carriers}{login}",
            site.edge(),
            self.transport.port(),
            domain = self.domain,
        );
        let mut carrier = Baresip::start(&site, "carrier", from, 440, &account, CARRIER_NAME);

        carrier.command("dial", &format!("sip:{NUMBER}@{}", self.domain));
        carrier.sees("CALL_ESTABLISHED");
        buyer.sees("CALL_ESTABLISHED");
        thread::sleep(Duration::from_secs(3));
        if self.has_hold {
            carrier.command("hold", "");
            thread::sleep(Duration::from_secs(1));
            carrier.command("resume", "");
            thread::sleep(Duration::from_secs(3));
        }
        let ender = if self.hung_up_by == "caller" {
            &mut carrier
        } else {
            &mut buyer
        };
        ender.command("hangup", "");
        carrier.sees("CALL_CLOSED");
        buyer.sees("CALL_CLOSED");

        if self.has_hold {
            let invites = edge.sum_of("strowger_requests_total{method=\"INVITE\"}");
            assert!(
                invites >= 3.0,
                "no hold, or no end of it: {invites} INVITEs"
            );
        }
        if self.is_far {
            let asked = edge.sum_of("strowger_rtpengine_requests_total{result=\"ok\"}");
            assert!(asked >= 3.0, "{asked} questions to rtpengine");
            assert_eq!(edge.sum_of("strowger_rtpengines{state=\"up\"}"), 1.0);
            assert_eq!(edge.sum_of("strowger_media_sessions"), 0.0);
        }
        let record = edge.record();
        is_completed(&record, "first", self.hung_up_by);
        if self.is_lossy {
            let of = |part| edge.sum_of(&format!("strowger_media_loss_ratio_{part}"));
            assert_eq!(of("count"), 2.0);
            let mean = of("sum") / 2.0;
            assert!((0.01..0.035).contains(&mean), "{mean}");
        }
        assert_eq!(record["media"].is_null(), self.media.is_none());
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
