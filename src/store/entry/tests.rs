use super::*;

#[test]
fn every_kind_of_entry_reads_back() {
    for entry in samples() {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);

        assert_eq!(Entry::decode(&bytes), Ok(entry.clone()));
        for length in 0..bytes.len() {
            assert_eq!(
                Entry::decode(&bytes[..length]),
                Err(NotAnEntry),
                "{entry:?}"
            );
        }
        bytes.push(0);
        assert_eq!(Entry::decode(&bytes), Err(NotAnEntry));
    }
}

#[test]
fn kinds_keep_their_numbers_and_others_are_no_entries() {
    let kinds: Vec<u8> = samples()
        .iter()
        .map(|entry| {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            bytes[0]
        })
        .collect();

    assert_eq!(
        kinds,
        (1..=14)
            .filter(|kind| ![4, 9].contains(kind))
            .chain(20..=23)
            .chain(40..=44)
            .collect::<Vec<_>>()
    );
    assert_eq!(Entry::decode(&[0]), Err(NotAnEntry));
    assert_eq!(Entry::decode(&[15, 0, 0]), Err(NotAnEntry));
}

/// One of each kind, in the order of their numbers.
pub(crate) fn samples() -> Vec<Entry<'static>> {
    let uuid = CallUuid::from_bytes([7; 16]);
    let at = Moment::from_millis(1_730_728_800_250);
    let claims = vec![Claim {
        party: "buyer:solar",
        window: "day:2024-11-04",
        until: at,
        count: 1,
    }];
    let deliveries = vec![Delivery {
        hook: "pixel",
        phase: 2,
        class: Class::Said(Terms {
            limit: 4000,
            redirects: 3,
        }),
        not_before: at,
        is_idempotent: true,
        method: "POST",
        url: "https://hooks.example.com/?call=7",
        headers: vec![Header {
            name: "Content-Type",
            value: "application/json",
        }]
        .into(),
        body: b"{}",
    }];
    let place = Spot {
        account: "AC00000000000000000000000000000001",
        identity: "user:bob",
        channel: "fcm",
        address: "APA91",
    };
    let conversion = Conversion {
        at,
        group: "main",
        is_converted: true,
        payout: Some("12.50"),
        revenue: None,
        is_payout_duplicate: true,
        is_revenue_duplicate: false,
    };
    vec![
        Entry::Admitted(Admitted {
            uuid,
            at,
            generation: 3,
            trunk: "carrier",
            user: Some("alice"),
            company: Some("acme"),
            campaign: Some("solar"),
            afid: Some("pub-1"),
            sid: None,
            dialled: Some("+15550100"),
            caller: Some("+15550199"),
            call_id: b"a84b4c76e66710@192.0.2.10",
            note: &[],
        }),
        Entry::Answered(Answered {
            uuid,
            at,
            buyer: "one",
            claims: claims.clone().into(),
            note: b"note",
        }),
        Entry::Counted(Counted {
            uuid,
            claims: claims.clone().into(),
        }),
        Entry::Queued(Queued {
            call: uuid,
            at,
            deliveries: deliveries.clone().into(),
        }),
        Entry::Delivered(Delivered {
            id: DeliveryId(9),
            at,
            outcome: Outcome::Again("503"),
        }),
        Entry::Revived(Revived {
            id: DeliveryId(9),
            at,
        }),
        Entry::Stored(Stored {
            company: "acme",
            caller: "+15550199",
            until: at,
            tags: vec![StoredTag {
                key: "age",
                value: "66",
            }]
            .into(),
        }),
        Entry::Converted(Converted {
            uuid,
            conversion,
            claims: claims.clone().into(),
            deliveries: deliveries.clone().into(),
        }),
        Entry::Reset(Reset {
            party: "buyer:solar",
            window: "total",
        }),
        Entry::Spent(Spent {
            realm: "twilio",
            token: "CA00000000000000000000000000000001",
            until: at,
        }),
        Entry::Noted(Noted {
            realm: "hand-off",
            key: "1234:CA00000000000000000000000000000001",
            until: at,
            value: b"\x00\xffnote",
        }),
        Entry::Erased(Erased {
            realm: "hand-off",
            key: "1234:CA00000000000000000000000000000001",
        }),
        Entry::Bound(Bound { place, until: at }),
        Entry::Unbound(place),
        Entry::Connected(Connected {
            org: "my-org",
            at,
            key: "2026",
            sealed: &[7; 40],
        }),
        Entry::Listed(Listed {
            org: "my-org",
            sid: "PN00000000000000000000000000000001",
            number: "+15550100",
            mode: "voice",
            users: vec!["user:bob"].into(),
            at,
            checked: Some(at),
            drift: "in_sync",
        }),
        Entry::Dropped(DeliveryId(9)),
        Entry::Tagged(Tagged {
            uuid,
            tags: vec![KnownTag {
                key: "age",
                value: "66",
                origin: "hook",
            }]
            .into(),
        }),
        Entry::Used(Used {
            company: "acme",
            caller: "+15550199",
            tags: vec![WaitingTag {
                key: "age",
                value: "66",
                until: at,
            }]
            .into(),
        }),
        Entry::Ended(Ended {
            uuid,
            at,
            line: r#"{"uuid":"07070707-0707-0707-0707-070707070707"}"#,
            past: Some(Past {
                company: "acme",
                caller: "+15550199",
                number: "+15550100",
                campaign: "solar",
                afid: Some("pub-1"),
                buyer: Some("one"),
                answered: Some(Moment::from_millis(900)),
                fired: vec![Fired {
                    hook: "pixel",
                    at: Moment::from_millis(950),
                }]
                .into(),
            }),
            conversion: Some(conversion),
            claims: claims.into(),
            deliveries: deliveries.into(),
        }),
        Entry::Remembered(Remembered {
            uuid,
            ended: at,
            past: Past {
                company: "acme",
                caller: "+15550199",
                number: "+15550100",
                campaign: "solar",
                afid: Some("radio"),
                buyer: None,
                answered: None,
                fired: vec![Fired { hook: "pixel", at }].into(),
            },
        }),
    ]
}
