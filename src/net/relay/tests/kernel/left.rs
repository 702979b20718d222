//! Packets of a stream in the kernel that are left to the sockets.

use super::*;

#[test]
fn packets_that_are_no_more_of_the_same_are_decided_on_here() {
    let another_ssrc = |number| packet(number, 7);
    let jump = |number: u16| packet(number + 20_000, 1);
    let packets: [&dyn Fn(u16) -> Vec<u8>; 3] = [&another_ssrc, &with_extension, &jump];
    for packet in packets {
        let Some(house) = house() else { return };
        let call = house.call("127.0.0.1", "127.0.0.1");
        call.connect(&house);
        let next = talk_until_lent(&house, &call);
        let returned = house.counted(RETURNED_FOR_PACKETS);

        let sent = packet(next);
        call.caller.send(&sent, call.gates[0].port);
        call.buyer.expect(&sent);

        assert_eq!(
            (house.counted(LENT), house.counted(RETURNED_FOR_PACKETS)),
            (0, returned + 2)
        );
        let heard = &house.close(&call).parties[0];
        assert_eq!((heard.packets, heard.dropped), (u64::from(next) + 1, 0));
    }
}

#[test]
fn what_would_be_dropped_brings_no_stream_back() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let next = talk_until_lent(&house, &call);
    let mut version_1 = packet(next, 1);
    version_1[0] = 0x40;
    let mut not_agreed = packet(next, 1);
    not_agreed[1] = 18;
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();

    for bytes in [&version_1, &not_agreed, &stun] {
        call.caller.send(bytes, call.gates[0].port);
    }

    call.buyer.expect_nothing();
    assert_eq!(house.counted(LENT), 2);
    assert_eq!(house.close(&call).parties[0].dropped, 3);
}

#[test]
fn a_key_that_is_pressed_is_noted_and_the_stream_goes_back_to_the_kernel() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    connect_with_keys(&house, &call);
    let next = talk_until_lent(&house, &call);
    let event = event(next);

    call.caller.send(&event, call.gates[0].port);
    call.buyer.expect(&event);
    assert_eq!(house.counted(LENT), 0);

    let next = talk_until_lent_from(next + 1, &house, &call);
    let [of_caller, of_buyer] = house.close(&call).parties;
    assert_eq!(of_caller.digits, "5");
    assert_eq!((of_caller.packets, of_caller.lost), (u64::from(next), 0));
    // What it sent while the other one pressed a key.
    assert_eq!((of_buyer.packets, of_buyer.lost), (u64::from(next) - 1, 1));
}

#[test]
fn nothing_overtakes_a_packet_that_the_kernel_cannot_forward() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    connect_with_keys(&house, &call);
    let long = |number| [packet(number, 1), vec![1; 1500]].concat();
    let odd: [&dyn Fn(u16) -> Vec<u8>; 3] = [&long, &with_extension, &event];
    let mut next = 0;
    for odd in odd {
        next = talk_until_lent_from(next, &house, &call);
        let burst: Vec<Vec<u8>> = (next..next + 20)
            .map(|number| match number - next {
                5 => odd(number),
                _ => packet(number, 1),
            })
            .collect();

        for bytes in &burst {
            call.caller.send(bytes, call.gates[0].port);
        }

        for bytes in &burst {
            call.buyer.expect(bytes);
        }
        assert_eq!(house.counted(LENT), 0);
        next += 20;
    }
    let heard = &house.close(&call).parties[0];
    assert_eq!(
        (heard.packets, heard.lost, heard.dropped),
        (next.into(), 0, 0)
    );
}

/// Connects both, who may press keys.
fn connect_with_keys(house: &House, call: &Call) {
    let mut plan = call.plan();
    for end in &mut plan.streams[0].ends {
        end.payloads.push(Payload {
            number: 101,
            clock: 8000,
            is_dtmf: true,
        });
    }
    house.relay.connect(call.id, plan).unwrap();
}

/// The caller's packet of that number, by which it presses the 5.
fn event(number: u16) -> Vec<u8> {
    let mut event = packet(number, 1);
    event[1] = 101;
    event.truncate(12);
    event.extend([5, 0x0a, 0, 160]);
    event
}

/// The caller's packet of that number, with an extension of the header.
fn with_extension(number: u16) -> Vec<u8> {
    let mut packet = packet(number, 1);
    packet[0] = 0x90;
    packet[12..16].copy_from_slice(&[0xbe, 0xde, 0, 1]);
    packet
}
