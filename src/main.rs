//! The command line: arguments in, exit code out.

use std::io;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::{error, warn};

use strowger::config;
use strowger::config::{Faults, Settings};
use strowger::edge::demo;
use strowger::edge::demo::Look;
use strowger::edge::explain::{Ask, answer};
use strowger::edge::{Addresses, Disk, Edge, Log};

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
    /// Reads the configuration and says everything that is wrong with it.
    Check {
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
    Explain {
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
    /// Starts the edge with a little carrier and two little buyers on free loopback ports, and
    /// shows three real calls; needs no configuration.
    Demo {
        /// Prints one JSON document.
        #[arg(long)]
        json: bool,
    },
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
        Command::Check { json } => check(&config, &disk, json),
        Command::Addresses { json } => addresses(&config, &disk, json),
        Command::Explain {
            to,
            from,
            trunk,
            at,
            uuid,
            tags,
            past,
            json,
        } => {
            let ask = Ask {
                to,
                from,
                trunk,
                at,
                uuid,
                tags,
                past,
            };
            explain(&config, &disk, &ask, json)
        }
        Command::Ledger { data_dir, json } => ledger(&data_dir, json),
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

fn check(config: &Path, disk: &Disk, json: bool) -> ExitCode {
    match (config::load(config, disk, 1), json) {
        (Ok(settings), false) => {
            settings.warnings.iter().for_each(say);
            say(format_args!("{}: nothing is wrong", config.display()));
            ExitCode::SUCCESS
        }
        (Ok(settings), true) => match serde_json::to_string_pretty(&settings.warnings) {
            Ok(list) => {
                say(list);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
        (Err(faults), false) => {
            say(&faults);
            ExitCode::from(WRONG)
        }
        (Err(faults), true) => match serde_json::to_string_pretty(&faults) {
            Ok(list) => {
                say(list);
                ExitCode::from(WRONG)
            }
            Err(error) => fail(&error),
        },
    }
}

fn explain(config: &Path, disk: &Disk, ask: &Ask, json: bool) -> ExitCode {
    let settings = match config::load(config, disk, 1) {
        Ok(settings) => settings,
        Err(faults) => return say_wrong(&faults),
    };
    let explanation = match answer(&settings.policy, ask) {
        Ok(explanation) => explanation,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            return ExitCode::from(WRONG);
        }
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
    let audit = match strowger::edge::audit(data_dir) {
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

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "strowger: {error}");
    ExitCode::FAILURE
}

fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}
