use super::*;
use crate::config::{Texts, load};

#[test]
fn what_is_expected_and_comes_is_no_fault() {
    let tried = tried(
        r#"
[[case]]
name = "an adult gets the loan desk first"
to = "212-555-0101"
from = "+12125550142"
at = "2024-11-04T09:00:00-05:00"
uuid = "f1abfb78-ab8a-4146-9946-8169fbcc6d6c"
tags = { age = "66", interest = ["loan", "car"] }
[case.expect]
campaign = "solar"
afid = "bright-leads"
sid = "tv"
buyer = "sunny"
order = ["sunny", "moony"]
verdicts = { sunny = "fits" }
tags = { age = "66", interest = ["car", "loan"], product = "solar" }
headers = { X-PH-RetreaverAFID = "bright-leads", x-account = "7", X-PH-RetreaverNone = "" }
webhooks = { crm = "https://crm.example.com/?n=%2B12125550142" }
silent = ["late"]

[[case]]
name = "a ping says who is too young"
to = "+12125550101"
at = "2024-11-04T09:00:00-05:00"
answer = [{ webhook = "crm", json = '{"age": 17}' }]
[case.expect]
order = ["moony"]
verdicts = { sunny = "tag_mismatch" }
tags = { age = "17" }

[[case]]
name = "what a ping says with an error is nothing"
to = "+12125550101"
at = "2024-11-04T09:00:00-05:00"
answer = [{ webhook = "crm", status = 500, json = '{"age": 66}' }]
past = [{ campaign = "solar", buyer = "moony", ago = "2d", converted = "any" }]
[case.expect]
buyer = "moony"

[[case]]
name = "nobody is left"
to = "+12125550101"
at = "2024-11-04T09:00:00-05:00"
tags = { age = "66" }
calls = { sunny = 2, "group:pool" = 9 }
counted = { sunny = { day = 3, total = 4 } }
[case.expect]
buyer = ""
order = []
status = 486
reason = "all_capped"
verdicts = { sunny = "concurrency", moony = "group_cap" }

[[case]]
name = "a number of nobody's"
to = "+12125550199"
at = "2024-11-04T09:00:00-05:00"
[case.expect]
campaign = ""
status = 404
reason = "number_unknown"
"#,
    );

    assert_eq!(tried.faults, []);
    assert_eq!((tried.files, tried.cases), (1, 5));
}

#[test]
fn what_comes_instead_is_told_with_its_place() {
    let tried = tried(
        r#"[[case]]
name = "wrong"
to = "+12125550101"
from = "+12125550142"
at = "2024-11-04T09:00:00-05:00"
tags = { age = "17" }
calls = { sunny = 1 }
[case.expect]
campaign = "wind"
buyer = "sunny"
order = ["sunny", "moony"]
status = 603
reason = "no_match"
verdicts = { sunny = "fits" }
tags = { age = ["17", "18"] }
headers = { X-Account = "8" }
webhooks = { crm = "https://crm.example.com/", late = "https://late.example.com/" }
silent = ["crm"]
"#,
    );

    let shown: Vec<_> = tried.faults.iter().map(Fault::to_string).collect();
    let expected = [
        "9:12: case.expect.campaign: case `wrong`: it is `solar`; the test expects `wind`",
        "10:9: case.expect.buyer: case `wrong`: it is `moony`; the test expects `sunny`",
        "11:9: case.expect.order: case `wrong`: it is [\"moony\"]; the test expects [\"sunny\", \"moony\"]",
        "12:10: case.expect.status: case `wrong`: it is no refusal, for [\"moony\"] are called; the test expects 603",
        "13:10: case.expect.reason: case `wrong`: it is none; the test expects `no_match`",
        "14:22: case.expect.verdicts: case `wrong`: it is `sunny` is tag_mismatch, for it wants age:>=25 and there is 17; \
         the test expects `fits`",
        "15:16: case.expect.tags: case `wrong`: it is age: [\"17\"]; the test expects `18`",
        "16:25: case.expect.headers: case `wrong`: it is X-Account: none; the test expects `8`",
        "17:20: case.expect.webhooks: case `wrong`: it is `crm` asks https://crm.example.com/?n=%2B12125550142; the test \
         expects `https://crm.example.com/`",
        "17:55: case.expect.webhooks: case `wrong`: it is `late` does not fire; the test expects `https://late.example.com/`",
        "18:11: case.expect.silent: case `wrong`: it is `crm` asks https://crm.example.com/?n=%2B12125550142; the test \
         expects that it does not fire",
    ];
    let expected = expected.map(|line| format!("conf/strowger.route.toml:{line}"));
    assert_eq!(shown, expected);
}

#[test]
fn what_is_said_of_a_name_that_nobody_has_is_a_fault() {
    let tried = tried(
        r#"
[[case]]
name = "names"
to = "+12125550101"
at = "2024-11-04T09:00:00-05:00"
[case.expect]
buyer = "moony"
verdicts = { other = "not asked" }
silent = ["crn"]

[[case]]
name = "earlier calls"
to = "+12125550101"
at = "2024-11-04T09:00:00-05:00"
past = [{ campaign = "wind", buyer = "nobody", ago = "2d" }]
[case.expect]
buyer = "moony"
"#,
    );

    let faults = tried.faults.iter().map(ToString::to_string);
    let faults = faults.collect::<Vec<_>>().join("\n");
    for name in [
        "campaign `wind`",
        "buyer `nobody`",
        "buyer `other`",
        "webhook `crn`",
    ] {
        assert!(faults.contains(&format!("there is no {name}")), "{faults}");
    }
}

#[test]
fn a_case_that_cannot_be_read_is_told_and_is_not_run() {
    let tried = tried(
        r#"[[case]]
nam = "x"
to = "+12125550101"
at = "today"
trunk = "other"
uuid = "1"
calls = { sunni = 1, sunny = -1 }
counted = { sunny = { week = 1 }, "group:none" = { day = 1 } }
down = ["nobody"]
tags = { age = 17 }
answer = [{ webhook = "crn" }]
past = [{ campaign = "solar" }]
[[cases]]
"#,
    );

    let keys = tried.faults.iter();
    let keys: Vec<_> = keys.map(|fault| (fault.line, &*fault.key)).collect();
    assert_eq!(
        keys,
        [
            (1, "case.name"),
            (1, "case.expect"),
            (2, "case.nam"),
            (4, "case.at"),
            (5, "case.trunk"),
            (6, "case.uuid"),
            (7, "case.calls"),
            (7, "case.calls"),
            (8, "case.counted"),
            (8, "case.counted"),
            (9, "case.down"),
            (10, "case.tags"),
            (11, "case.answer.webhook"),
            (12, "case.past.buyer"),
            (12, "case.past.ago"),
            (13, "cases"),
        ],
        "{:#?}",
        tried.faults
    );
}

#[test]
fn tests_stand_beside_the_main_file_and_in_the_folders_of_its_routing_files() {
    let case = |to: &str| {
        format!(
            "[[case]]\nname = \"x\"\nto = \"{to}\"\nat = \"2024-11-04T09:00:00Z\"\n[case.expect]\nbuyer = \"sunny\"\n"
        )
    };
    let source = source()
        .and("conf/other.route.toml", "nonsense")
        .and("conf/.strowger.route.toml", "nonsense")
        .and("conf/routing/solar.route.toml", case("+12125550101"))
        .and("elsewhere/x.route.toml", case("+12125550199"));
    let main = Path::new("conf/strowger.toml");
    let settings = load(main, &source, 1).unwrap_or_else(|faults| panic!("{faults}"));

    let own = run(main, &settings, &[], &source);
    let besides = ["elsewhere/x.route.toml", "elsewhere/none.route.toml"].map(PathBuf::from);
    let all = run(main, &settings, &besides, &source);

    // Nobody said how old the caller is.
    let files = |tried: &Tried| -> Vec<String> {
        let files = tried.faults.iter();
        files
            .map(|fault| fault.file.display().to_string())
            .collect()
    };
    assert_eq!((own.files, own.cases), (1, 1));
    assert_eq!(files(&own), ["conf/routing/solar.route.toml"]);
    assert_eq!((all.files, all.cases), (2, 2));
    assert_eq!(
        files(&all),
        [
            "conf/strowger.toml",
            "conf/routing/solar.route.toml",
            "elsewhere/x.route.toml"
        ]
    );
}

fn tried(text: &str) -> Tried {
    let source = source().and("conf/strowger.route.toml", text);
    let main = Path::new("conf/strowger.toml");
    let settings = load(main, &source, 1).unwrap_or_else(|faults| panic!("{faults}"));
    run(main, &settings, &[], &source)
}

fn source() -> Texts {
    let minimal = include_str!("../../../conf/minimal.toml");
    let directory = "[node]\ndirectory = [\"routing/*.toml\"]\n[[listen]]";
    let uri = "uri = \"sip:sales@203.0.113.20\"";
    let more = "tags = [\"age:>=25\"]\nmax_calls = 2\nheaders = { set = { X-Account = \"7\" } }";
    let main = minimal
        .replace("[[listen]]", directory)
        .replace(uri, &format!("{uri}\n{more}"))
        .replace("buyers = [\"sunny\"]", "buyers = [\"sunny\", \"moony\"]")
        + "sid = \"tv\"\ntags = [\"product:solar\"]\n";
    let routing = r#"
[[buyer]]
id = "moony"
company = "acme"
uri = "sip:sales@203.0.113.21"
priority = 2

[[buyer_group]]
id = "pool"
company = "acme"
members = ["moony"]
max_calls = 9

[[webhook]]
id = "crm"
campaign = "solar"
trigger = "start"
url = "https://crm.example.com/?n=[caller_number]"

[[webhook]]
id = "late"
campaign = "solar"
trigger = "always"
url = "https://late.example.com/"
"#;
    Texts::of("conf/strowger.toml", main).and("conf/routing/moony.toml", routing)
}
