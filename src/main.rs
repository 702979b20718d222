//! The command line: arguments in, exit code out.

use std::io;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::{error, warn};

use strowger::call::explain::Explanation;
use strowger::config;
use strowger::config::{Faults, Settings, trials};
use strowger::edge;
use strowger::edge::demo;
use strowger::edge::demo::Look;
use strowger::edge::explain::{Ask, NotExplained, answer};
use strowger::edge::outbox;
use strowger::edge::{Addresses, Disk, Edge, Log};

/// A call's memory is taken by one thread and given back by others, which the system's allocator is slow at: with it a call
/// costs a tenth more CPU.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A SIP edge for pay-per-call: a carrier's call comes in, the right buyer gets it, and every part
/// of it can be seen.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "conf/strowger.toml"
    )]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Serves calls until SIGTERM; this is the default.
    Run,
    /// Reads the configuration and says everything that is wrong with it, runs its route tests, and warns of what is seldom
    /// meant.
    Check {
        /// Files of route tests besides those that belong to the configuration: NAME.route.toml beside NAME.toml, and
        /// *.route.toml in the folders that `directory` names.
        #[arg(value_name = "TESTS")]
        tests: Vec<PathBuf>,
        /// Warnings are wrong, too.
        #[arg(long)]
        strict: bool,
        /// Prints the faults as a JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Says which addresses carriers and buyers who list addresses must be given.
    Addresses {
        /// Prints one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Says who would get a call, why not the others, which webhooks would be asked and what the
    /// caller would be told; no call is made and nothing is counted.
    Explain(Box<Asked>),
    /// Decides the calls of a file of records again, by what was known then, under the configuration, and says which of
    /// them would be others.
    Replay {
        /// The file, as `records` of [telemetry] names it.
        #[arg(value_name = "RECORDS")]
        records: PathBuf,
        /// Prints one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Says whether what an edge has written down adds up; the edge must not be running.
    Ledger {
        /// Its data directory, as `data_dir` of [node] says.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Prints one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Shows the webhooks that were given up, has them tried again at the next start, or forgotten; the edge must not be
    /// running. A running edge is asked over HTTP: /v1/outbox.
    Outbox {
        /// Its data directory, as `data_dir` of [node] says.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Prints one JSON document.
        #[arg(long)]
        json: bool,
        /// What is to be done; they are shown, if left out.
        #[arg(value_enum, default_value_t = Wish::List)]
        wish: Wish,
        /// The numbers of those that are meant; all, if left out.
        numbers: Vec<u64>,
    },
    /// Starts the edge with a little carrier and two little buyers on free loopback ports, and
    /// shows three real calls; needs no configuration.
    Demo {
        /// Prints one JSON document.
        #[arg(long)]
        json: bool,
    },
}

/// What `explain` is asked.
#[derive(Args)]
struct Asked {
    /// The number that would be dialled.
    #[arg(long, value_name = "NUMBER")]
    to: String,
    /// The caller's number; without it, it is withheld.
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// The trunk by which the call would come.
    #[arg(long, value_name = "ID")]
    trunk: Option<String>,
    /// When, as in 2024-11-04T09:00:00-05:00; now, if left out.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The call's UUID: of buyers that share calls by weight, it says who is first.
    #[arg(long, value_name = "UUID")]
    uuid: Option<String>,
    /// A tag that a webhook or somebody else would have set; may be given several times.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// An earlier call of the caller that this buyer answered, as in
    /// first@2024-11-03T09:00:00Z,converted=GROUP,campaign=ID; may be given several times.
    #[arg(long = "past", value_name = "BUYER[@TIME]")]
    past: Vec<String>,
    /// What a webhook answers; those that are not named answer nothing then. May be given several times.
    #[arg(long = "answer", value_name = "WEBHOOK=JSON")]
    answers: Vec<String>,
    /// How many calls a buyer has, or a group (group:ID=N). May be given several times.
    #[arg(long = "calls", value_name = "BUYER=N")]
    calls: Vec<String>,
    /// How many calls of a buyer, a group (group:ID.WINDOW=N) or a number dialled (number:+12125550101.WINDOW=N) count
    /// in the hour, day or month, or in total. May be given several times.
    #[arg(long = "counted", value_name = "BUYER.WINDOW=N")]
    counted: Vec<String>,
    /// Asks a running edge, which goes by what counts there now, instead of the configuration.
    #[arg(long, value_name = "URL")]
    edge: Option<String>,
    /// The file that holds a token of the edge's with the scope `read`; without it, the environment's STROWGER_TOKEN.
    #[arg(long, value_name = "FILE", requires = "edge")]
    token_file: Option<PathBuf>,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// What is to be done with webhooks that were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wish {
    List,
    Retry,
    Drop,
}

const AFTER_HELP: &str = "\
Signals to a running edge:
  SIGHUP           reads the configuration again, and opens the file of call records anew;
                   with any fault the old configuration stays
  SIGTERM, SIGINT  refuses new calls and leaves when the last call has ended; the second time,
                   ends the calls that are left

Exit codes: 0 well, 1 failed, 64 wrong usage or configuration";

/// Exit code of wrong usage and wrong configuration (`EX_USAGE` of sysexits.h).
const WRONG: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return refuse(&refusal),
    };
    let disk = match Disk::new() {
        Ok(disk) => disk,
        Err(error) => return fail(&error),
    };
    let config = arguments.config;
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run(&config, &disk),
        Command::Check {
            tests,
            strict,
            json,
        } => check(&config, &disk, &tests, (strict, json)),
        Command::Addresses { json } => addresses(&config, &disk, json),
        Command::Explain(asked) => explain(&config, &disk, *asked),
        Command::Replay { records, json } => replay(&config, &disk, &records, json),
        Command::Ledger { data_dir, json } => ledger(&data_dir, json),
        Command::Outbox {
            data_dir,
            json,
            wish,
            numbers,
        } => outbox(&data_dir, json, wish, &numbers),
        Command::Demo { json } => demo(json),
    }
}

fn run(config: &Path, disk: &Disk) -> ExitCode {
    let settings = match config::load(config, disk, 1) {
        Ok(settings) => settings,
        Err(faults) => return say_wrong(&faults),
    };
    let log = match Log::start(&settings.telemetry) {
        Ok(log) => log,
        Err(error) => return fail(&error),
    };
    for warning in &settings.warnings {
        warn!(%warning, "configuration");
    }
    let exit = serve(settings, config, disk);
    log.finish();
    exit
}

fn serve(settings: Settings, config: &Path, disk: &Disk) -> ExitCode {
    let edge = match Edge::start(settings) {
        Ok(edge) => edge,
        Err(error) => {
            error!(%error, "cannot start");
            return fail(&error);
        }
    };
    match edge.supervise(config, disk) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "crashed");
            fail(&error)
        }
    }
}

fn check(
    config: &Path,
    disk: &Disk,
    tests: &[PathBuf],
    (is_strict, json): (bool, bool),
) -> ExitCode {
    let (said, is_right, tried) = match config::load(config, disk, 1) {
        Ok(settings) => {
            let tried = trials::run(config, &settings, tests, disk);
            let is_calm = !is_strict || settings.warnings.is_empty();
            let is_right = is_calm && tried.faults.is_empty();
            let said = [settings.warnings, tried.faults].concat();
            (said, is_right, (tried.files, tried.cases))
        }
        Err(faults) => (faults.iter().cloned().collect(), false, (0, 0)),
    };
    if json {
        match serde_json::to_string_pretty(&said) {
            Ok(list) => say(list),
            Err(error) => return fail(&error),
        }
    } else {
        said.iter().for_each(say);
        let (files, cases) = tried;
        if is_right && files > 0 {
            say(format_args!("{cases} route tests in {files} files are met"));
        }
        if is_right {
            say(format_args!("{}: nothing is wrong", config.display()));
        }
    }
    if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(WRONG)
    }
}

fn explain(config: &Path, disk: &Disk, asked: Asked) -> ExitCode {
    let Asked {
        to,
        from,
        trunk,
        at,
        uuid,
        tags,
        past,
        answers,
        calls,
        counted,
        edge,
        token_file,
        json,
    } = asked;
    let ask = Ask {
        to,
        from,
        trunk,
        at,
        uuid,
        tags,
        past,
        answers,
        calls,
        counted,
    };
    match edge {
        Some(edge) => explain_by(&edge, token_file.as_deref(), &ask, json),
        None => explain_here(config, disk, &ask, json),
    }
}

/// Asks a running edge.
fn explain_by(edge: &str, token_file: Option<&Path>, ask: &Ask, json: bool) -> ExitCode {
    let token = match token_file {
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) => return wrong(format_args!("{}: {error}", path.display())),
        },
        None => std::env::var("STROWGER_TOKEN").unwrap_or_default(),
    };
    match edge::explain::answer_of(edge, &token, ask) {
        Ok(explanation) if json => {
            say(explanation);
            ExitCode::SUCCESS
        }
        Ok(explanation) => match serde_json::from_str::<Explanation>(&explanation) {
            Ok(explanation) => {
                say(explanation);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
        Err(NotExplained::Refused(what)) => wrong(what),
        Err(error) => fail(&error),
    }
}

fn explain_here(config: &Path, disk: &Disk, ask: &Ask, json: bool) -> ExitCode {
    let settings = match config::load(config, disk, 1) {
        Ok(settings) => settings,
        Err(faults) => return say_wrong(&faults),
    };
    let explanation = match answer(&settings.policy, ask) {
        Ok(explanation) => explanation,
        Err(error) => return wrong(error),
    };
    if !json {
        say(&explanation);
        return ExitCode::SUCCESS;
    }
    match serde_json::to_string_pretty(&explanation) {
        Ok(document) => {
            say(document);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn replay(config: &Path, disk: &Disk, records: &Path, json: bool) -> ExitCode {
    let settings = match config::load(config, disk, 1) {
        Ok(settings) => settings,
        Err(faults) => return say_wrong(&faults),
    };
    let mut output = BufWriter::new(io::stdout().lock());
    match edge::replay::run(&settings.policy, records, json, &mut output) {
        Ok(summary) if summary.is_same() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn addresses(config: &Path, disk: &Disk, json: bool) -> ExitCode {
    let settings = match config::load(config, disk, 1) {
        Ok(settings) => settings,
        Err(faults) => return say_wrong(&faults),
    };
    let addresses = Addresses::of(&settings.policy);
    if !json {
        say(&addresses);
        return ExitCode::SUCCESS;
    }
    match serde_json::to_string_pretty(&addresses) {
        Ok(document) => {
            say(document);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn ledger(data_dir: &Path, json: bool) -> ExitCode {
    let audit = match edge::audit(data_dir) {
        Ok(audit) => audit,
        Err(error) => return fail(&error),
    };
    if json {
        match serde_json::to_string_pretty(&audit) {
            Ok(document) => say(document),
            Err(error) => return fail(&error),
        }
    } else {
        say(&audit);
    }
    if audit.differences().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn outbox(data_dir: &Path, json: bool, wish: Wish, numbers: &[u64]) -> ExitCode {
    let wish = match wish {
        Wish::List => outbox::Wish::List,
        Wish::Retry => outbox::Wish::Retry,
        Wish::Drop => outbox::Wish::Drop,
    };
    let letters = match outbox::settle(data_dir, wish, numbers) {
        Ok(letters) => letters,
        Err(error) => return fail(&error),
    };
    if !json {
        say(&letters);
        return ExitCode::SUCCESS;
    }
    match serde_json::to_string_pretty(&letters) {
        Ok(document) => {
            say(document);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn demo(json: bool) -> ExitCode {
    let mut output = io::stdout().lock();
    let look = if json {
        Look::Json
    } else {
        let colour = output.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Look::Text { colour }
    };
    match demo::run(look, &mut output) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Prints what clap has to say: help and version are well, anything else is wrong usage.
fn refuse(refusal: &clap::Error) -> ExitCode {
    // Nowhere is left to say that it cannot be said.
    let _ = refusal.print();
    if refusal.use_stderr() {
        ExitCode::from(WRONG)
    } else {
        ExitCode::SUCCESS
    }
}

fn say_wrong(faults: &Faults) -> ExitCode {
    let _ = writeln!(io::stderr(), "{faults}");
    ExitCode::from(WRONG)
}

fn wrong(what: impl std::fmt::Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "{what}");
    ExitCode::from(WRONG)
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "strowger: {error}");
    ExitCode::FAILURE
}

fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}
