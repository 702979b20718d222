//! What a soft phone sends on its WebSocket.

use strowger::net::websocket::frame::{FrameFault, MOST, Reader, Said, text};

/// Bytes of a head: two, eight of a length, four of a mask.
const HEAD: usize = 14;

/// In whatever pieces it comes, the same is read; nothing that is read is longer than it may be, and nothing waits without end; what
/// a client writes by the book is read as it was meant, and what a server writes is refused.
pub fn websocket(data: &[u8]) {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let whole = read(data, data.len());
    assert_eq!(read(data, usize::from(*first)), whole);
    assert_eq!(read(data, 1), whole);
    for said in &whole.0 {
        match said {
            Said::Ping(payload) => assert!(payload.len() <= 125),
            Said::Close(Some(code)) => assert!((1000..5000).contains(code)),
            Said::Close(None) | Said::Pong | Said::Words => {}
        }
    }
    check_ping(data, *first);
    assert_eq!(read(&text(data), 7).1, Some(FrameFault::Protocol));
}

/// A ping that holds the beginning of `data`, behind whole frames.
fn check_ping(data: &[u8], mask: u8) {
    let payload = data.get(..data.len().min(125)).unwrap_or_default();
    let Ok(length) = u8::try_from(payload.len()) else {
        return;
    };
    let mut frame = vec![0x81, 0x80, 1, 2, 3, 4, 0x89, 0x80 | length];
    frame.extend([mask; 4]);
    frame.extend(payload.iter().map(|byte| byte ^ mask));
    let meant = vec![Said::Words, Said::Ping(payload.to_vec())];
    assert_eq!(read(&frame, 3), (meant, None));
}

/// What is read of pieces of this size, and what was wrong in the end.
fn read(data: &[u8], size: usize) -> (Vec<Said>, Option<FrameFault>) {
    let (mut reader, mut all) = (Reader::default(), Vec::new());
    for piece in data.chunks(size.max(1)) {
        reader.take(piece);
        loop {
            match reader.poll_frame() {
                Ok(Some(said)) => all.push(said),
                Ok(None) => break,
                Err(fault) => return (all, Some(fault)),
            }
        }
        assert!(reader.waiting() < MOST + HEAD);
    }
    (all, None)
}
