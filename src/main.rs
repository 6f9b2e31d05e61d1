//! The command `httpoll` serves a directory over HTTP, as `python -m http.server` does.

use std::env;
use std::io;
use std::process::ExitCode;

mod cli;

use cli::listening::Listening;
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
    let inherited = cli::inherited::take()?;
    let handler = options.handler()?;
    let confinement = options.confinement(&handler)?;
    let (served, auth) = (handler.files.path(), handler.auth.clone());
    let user = options.user()?;
    let tls = options.tls(served.as_deref())?;
    cli::raise_descriptor_limit();
    let Listening {
        mut server,
        greeting,
        mut confinement,
    } = options.listen(inherited, handler, confinement, user.as_ref(), tls.as_ref())?;
    server.shutdown_on_signals(cli::banner::farewell)?;
    if let Err(error) = server.notify_service_manager() {
        cli::privileges::warn(format_args!(
            "cannot tell the service manager (NOTIFY_SOCKET): {error}"
        ));
    }
    cli::privileges::give_up_root(user.as_ref(), tls.is_some())?;
    if let Some(tls) = tls {
        tls.start_reader(&server.handle(), user.as_ref())?;
    }
    options.check_auth(auth.as_ref())?;
    if let Some(log_file) = options.log_file(served.as_deref())? {
        confinement = confinement.reopen(&log_file)?;
        server.log_to(log_file);
    }
    if options.open {
        let (scheme, hosts) = (options.scheme(), &options.config.hosts);
        cli::open::open(scheme, server.server_addresses(), hosts);
    }
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
