//! SRTP: what nobody with the key made is never taken and changes nothing; what the sender made comes out once, as it
//! went in.

use strowger::media::plan::{Keys, Suite};
use strowger::media::srtp::suite::{MOST_RTCP_GROWTH, MOST_RTP_GROWTH};
use strowger::media::srtp::{Receiver, Sender, Why};
use zeroize::Zeroizing;

/// The first byte says which suite, the rest is one packet after another: a byte of length, then as many bytes.
pub fn srtp(data: &[u8]) {
    let Some((which, mut rest)) = data.split_first() else {
        return;
    };
    let suite = Suite::ALL[usize::from(*which) % Suite::ALL.len()];
    let secret = (0..suite.secret_length()).map(|at| at as u8).collect();
    let keys = Keys {
        suite,
        secret: Zeroizing::new(secret),
    };
    let mut sender = Sender::new(&keys).expect("as long as the suite asks");
    let mut receiver = Receiver::new(&keys).expect("as long as the suite asks");
    while let Some((length, more)) = rest.split_first() {
        let (packet, more) = more.split_at(more.len().min(usize::from(*length)));
        rest = more;

        check_strange(&mut receiver, packet);
        check_rtp(&mut sender, &mut receiver, packet);
        check_rtcp(&mut sender, &mut receiver, packet);
    }
}

/// Bytes that nobody protected.
fn check_strange(receiver: &mut Receiver, packet: &[u8]) {
    let mut buf = packet.to_vec();
    assert!(receiver.unprotect_rtp(&mut buf, packet.len()).is_err());
    let mut buf = packet.to_vec();
    assert!(receiver.unprotect_rtcp(&mut buf, packet.len()).is_err());
}

fn check_rtp(sender: &mut Sender, receiver: &mut Receiver, packet: &[u8]) {
    let mut buf = [packet, &[0; MOST_RTP_GROWTH]].concat();
    let Ok(length) = sender.protect_rtp(&mut buf, packet.len()) else {
        assert_eq!(&buf[..packet.len()], packet);
        return;
    };
    let protected = buf[..length].to_vec();
    // Both know the same: what one may send, the other takes, unless it has forgotten the source since.
    match receiver.unprotect_rtp(&mut buf, length) {
        Ok(plain) => assert_eq!(&buf[..plain], packet),
        Err(why) => assert_eq!(
            why,
            Why::Forged,
            "of a source that rolled over and was forgotten"
        ),
    }
    let mut again = protected;
    assert!(receiver.unprotect_rtp(&mut again, length).is_err());
    let mut buf = [packet, &[0; MOST_RTP_GROWTH]].concat();
    assert!(sender.protect_rtp(&mut buf, packet.len()).is_err());
}

fn check_rtcp(sender: &mut Sender, receiver: &mut Receiver, packet: &[u8]) {
    let mut buf = [packet, &[0; MOST_RTCP_GROWTH]].concat();
    let Ok(length) = sender.protect_rtcp(&mut buf, packet.len()) else {
        return;
    };
    let protected = buf[..length].to_vec();
    let plain = receiver.unprotect_rtcp(&mut buf, length);
    assert_eq!(plain, Ok(packet.len()));
    assert_eq!(&buf[..packet.len()], packet);
    let mut again = protected;
    let replayed = receiver.unprotect_rtcp(&mut again, length);
    assert_eq!(replayed, Err(Why::Replayed));
}
