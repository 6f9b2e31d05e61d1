//! The command `httpoll` serves a directory over HTTP, as `python -m http.server` does.

use std::env;
use std::io;
use std::process::ExitCode;

use httpoll::ThreadingHttpServer;

mod cli;

use cli::{Command, CommandError, Options};

fn main() -> ExitCode {
    let arguments = env::args_os().skip(1).collect();
    let default_port = env::var_os("PORT");
    match cli::parse(arguments, default_port.as_deref()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Show(text) => cli::banner::print(&text),
        Command::Serve(options) => serve(&options),
        Command::Calibrate(options) => cli::calibrate::run(&options),
    }
}

fn serve(options: &Options) -> Result<(), CommandError> {
    let handler = options.handler()?;
    let confinement = options.confinement(&handler)?;
    let user = options.user()?;
    let addresses = options.addresses()?;
    let admin = options.admin_addresses()?;
    cli::raise_descriptor_limit();
    let mut server = ThreadingHttpServer::bind_with(
        addresses.as_slice(),
        handler,
        options.config.clone(),
        options.loops,
    )?;
    server.shutdown_on_signals(cli::banner::farewell)?;
    let mut greeting = cli::banner::greeting(server.server_addresses());
    if let Some(addresses) = admin {
        let bound = server.bind_admin(addresses.as_slice());
        let bound = bound.map_err(|error| CommandError::Run(format!("{error} (--admin)")))?;
        greeting += &cli::banner::admin_greeting(&bound);
    }
    cli::privileges::give_up_root(user.as_ref())?;
    // The current directory of a process keeps its file system from being unmounted.
    env::set_current_dir("/")?;
    cli::privileges::confine(confinement);
    cli::banner::print(&greeting)?;
    Ok(server.serve_forever()?)
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::Run(error.to_string())
    }
}
