use serde_json::json;

use super::*;
use crate::config::{Settings, Texts, load};

const MINIMAL: &str = include_str!("../../../conf/minimal.toml");
const WITH_DATA: &str =
    "[node]\ndata_dir = \"data\"\n[http]\n[[http.listen]]\nbind = \"127.0.0.1:0\"\n";

#[test]
fn every_section_of_a_routing_file_is_a_kind_of_object() {
    let mut kinds: Vec<&str> = kinds().chain(["numbers"]).collect();
    kinds.sort_unstable();
    let mut sections = keys::ROUTING_ROOT.keys.to_vec();
    sections.sort_unstable();

    assert_eq!(kinds, sections);
}

#[test]
fn what_operators_wrote_and_what_came_over_http_are_told_apart() {
    let source = texts()
        .and(
            "data/directory/buyer/moony.toml",
            "[[buyer]]\nid = \"moony\"\ncompany = \"acme\"\nuri = \"sip:m@203.0.113.21\"\n",
        )
        .and("data/directory/buyer/.half.toml", "[[bu")
        .and("data/directory/buyer/.moony.toml.tmp", "[[bu")
        .and(
            "data/directory/lists/tv.csv",
            "+12125550102,solar,bright-leads\n",
        );

    let settings = read(&source);

    let objects = &settings.objects;
    let sunny = objects.find("buyer", "sunny").expect("an operator's");
    let expected = Home {
        file: "strowger.toml".into(),
        line: MINIMAL
            .lines()
            .position(|line| line == "[[buyer]]")
            .unwrap()
            + 6,
        is_ours: false,
    };
    assert_eq!(sunny.home, expected);
    let moony = objects.find("buyer", "moony").expect("ours");
    assert_eq!((moony.home.line, moony.home.is_ours), (1, true));
    assert_eq!(moony.value["uri"], "sip:m@203.0.113.21");
    assert_eq!(objects.count("buyer"), 2);
    let ids: Vec<&str> = objects.list("buyer", "").map(|(id, _)| id).collect();
    assert_eq!(ids, ["moony", "sunny"]);
    let rest: Vec<&str> = objects.list("buyer", "moony").map(|(id, _)| id).collect();
    assert_eq!(rest, ["sunny"]);
    assert_eq!(objects.lists["tv"].lines, 1);
    assert_eq!(settings.policy.directory.numbers.len(), 2);
    assert!(settings.policy.directory.buyers.contains_key("moony"));
}

#[test]
fn two_objects_in_one_file_are_nobodys_to_write_anew() {
    let source = texts().and(
        "data/directory/publisher/a.toml",
        "[[publisher]]\nafid = \"a\"\ncompany = \"acme\"\n[[publisher]]\nafid = \"b\"\ncompany = \"acme\"\n",
    );

    let objects = read(&source).objects;

    for afid in ["a", "b"] {
        let object = objects.find("publisher", afid).expect("it is there");
        assert!(!object.home.is_ours, "{afid}");
    }
}

#[test]
fn no_secret_is_shown_and_a_change_of_one_is_another_version() {
    let with = |password: &str| {
        let buyer = format!(
            "[[buyer]]\nid = \"moony\"\ncompany = \"acme\"\nuri = \"sip:m@203.0.113.21\"\n\
             username = \"u\"\npassword = {password}\nrealm = \"r\"\n"
        );
        let source = texts().and("data/directory/buyer/moony.toml", buyer);
        read(&source.and("pw", "canary-3")).objects
    };
    let (one, same, other) = (
        with("\"canary-1\""),
        with("\"canary-1\""),
        with("\"canary-2\""),
    );

    let moony = |objects: &Objects| objects.find("buyer", "moony").unwrap().version;
    assert_eq!(moony(&one), moony(&same));
    assert_ne!(moony(&one), moony(&other));
    let shown = &one.find("buyer", "moony").unwrap().value;
    assert_eq!(shown["password"], json!({ "secret": "kept" }));
    assert_eq!(shown["username"], "u");
    let company = &one.find("company", "acme").unwrap().value;
    assert_eq!(company["key_secret"], json!({ "secret": "kept" }));
    // Where it stands instead is no secret.
    let file = with("{ file = \"pw\" }");
    let shown = &file.find("buyer", "moony").unwrap().value;
    assert_eq!(shown["password"], json!({ "file": "pw" }));
}

#[test]
fn without_a_listener_nothing_is_gathered() {
    let source = Texts::of("strowger.toml", MINIMAL);

    assert_eq!(read(&source).objects.count("buyer"), 0);
}

#[test]
fn a_version_is_a_tag_and_nothing_else_is() {
    let version = Version(0x00ff_0000_0000_0000_0000_0000_0000_0001);

    let tag = version.to_tag();

    assert_eq!(tag, "\"00ff0000000000000000000000000001\"");
    assert_eq!(Version::from_tag(&tag), Some(version));
    for text in [
        "",
        "\"\"",
        "\"1\"",
        "W/\"00ff0000000000000000000000000001\"",
        "00ff",
    ] {
        assert_eq!(Version::from_tag(text), None, "{text}");
    }
}

#[test]
fn an_object_is_called_as_its_path_says() {
    let object = json!({ "company": "acme" });
    let text = write("publisher", "a b", object.as_object().unwrap(), None).expect("text");
    assert!(
        text.ends_with("[[publisher]]\nafid = \"a b\"\ncompany = \"acme\"\n"),
        "{text}"
    );

    let other = json!({ "afid": "c" });
    let faults = write("publisher", "a b", other.as_object().unwrap(), None);

    let faults = faults.expect_err("a fault");
    assert_eq!(
        (&*faults[0].at, &*faults[0].key),
        ("/afid", "publisher.afid")
    );
}

#[test]
fn a_fault_of_the_file_is_found_in_the_object() {
    let object = json!({
        "company": "acme",
        "gateway": [
            { "uri": "sip:a@192.0.2.1" },
            { "uri": "sip:a@192.0.2.2", "weight": 0 },
        ],
        "headers": { "remove": ["X-Fine", "Via"] },
        "colour": "red",
    });
    let path = "data/directory/buyer/moony.toml";
    let text = write("buyer", "moony", object.as_object().unwrap(), None).expect("text");
    let source = texts().and(path, &*text);

    let faults = load(Path::new("strowger.toml"), &source, 1)
        .err()
        .expect("faults");

    let mut places: Vec<(String, String)> = faults
        .iter()
        .map(|fault| of_object(fault, &text))
        .map(|fault| (fault.at, fault.key))
        .collect();
    places.sort();
    let expected = [
        ("/colour", "buyer.colour"),
        ("/gateway/1/weight", "buyer.gateway.weight"),
        ("/headers/remove/1", "buyer.headers.remove"),
    ];
    let expected = expected.map(|(at, key)| (at.to_owned(), key.to_owned()));
    assert_eq!(places, expected, "{faults}\n{text}");
}

#[test]
fn a_number_is_found_in_a_list_wherever_it_stands_there() {
    let text = "number,campaign,afid\n# +12125550109,x,y\n+121255501010,a,b\n \
                +12125550101 , solar,bright-leads,tv spot\r\n+12125550102,solar,x";

    let (line, object) = line_of(text, "+12125550101").expect("it is there");

    assert_eq!(line, 4);
    let expected = json!({
        "number": "+12125550101", "campaign": "solar", "afid": "bright-leads", "sid": "tv spot",
    });
    assert_eq!(Value::Object(object), expected);
    assert_eq!(line_of(text, "+12125550102").expect("the last").0, 5);
    assert_eq!(line_of(text, "+12125550109"), None);
}

fn texts() -> Texts {
    Texts::of("strowger.toml", WITH_DATA.to_owned() + MINIMAL)
}

fn read(source: &Texts) -> Settings {
    let settings = load(Path::new("strowger.toml"), source, 1);
    settings.unwrap_or_else(|faults| panic!("{faults}"))
}
