//! Passwords for everything that a server serves: HTTP Basic authentication (RFC 7617) with a file of htpasswd.
//!
//! Invariant: the loop neither opens the file nor computes a hash that is made to be slow; threads do both. A pair of user and
//! password that was right is kept as a fast, keyed hash, and is admitted at once; a pair that was wrong is not kept.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};

mod checks;
mod credentials;
mod password_file;
mod refuse;
mod users;

use crate::handler::exchange::Exchange;
use checks::Checks;
use credentials::{Credentials, Key};
use password_file::PasswordFile;
use refuse::refuse_wrong;

/// A guard that asks for a user and a password, by HTTP Basic authentication.
///
/// The users are the lines of a file that `htpasswd -B` writes: `user:hash`. Hashes are bcrypt with a cost up to 16 (`$2y$`, `$2b$`,
/// `$2a$`) or SHA-crypt (`$5$`, `$6$`). The file has up to 1 MiB and 10,000 users.
///
/// A request with a pair that is not known waits for a thread, which looks whether the file has changed, and computes the hash. Pairs
/// that were right are admitted at once. Once a second, the next request with such a pair waits until a thread has looked at the
/// file, so a user that is taken out is refused after a second at the latest. If the file becomes unusable, the log says why, and the
/// users stay as they were.
///
/// All clones share one list of users. At most 64 pairs wait for their check, 16 of them from one client; further requests get a 503.
///
/// Passwords travel unencrypted, unless the server is behind a proxy with TLS or is reached only from its own machine.
///
/// ```no_run
/// use httpoll::{
///     BaseHttpRequestHandler, BasicAuth, Exchange, HandlerResult, HttpServer, SimpleHttpRequestHandler,
/// };
///
/// struct Site {
///     auth: BasicAuth,
///     files: SimpleHttpRequestHandler,
/// }
///
/// impl BaseHttpRequestHandler for Site {
///     fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
///         if !self.auth.admits(exchange) {
///             return Ok(());
///         }
///         self.files.handle_one_request(exchange)
///     }
/// }
///
/// let auth = BasicAuth::open("/etc/httpoll/htpasswd")?;
/// let files = SimpleHttpRequestHandler::new("public")?;
/// HttpServer::bind("127.0.0.1:8000", Site { auth, files })?.serve_forever()
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct BasicAuth {
    checks: Arc<Checks>,
    path: Arc<Path>,
}

impl BasicAuth {
    /// Reads the password file at `path`. A relative path begins at the current directory of this moment.
    ///
    /// A [`Confinement`](crate::Confinement) must allow to read the directory of the file, so that a file that is replaced can be
    /// read again.
    ///
    /// # Errors
    /// The file cannot be read, is not a regular file, is larger than 1 MiB, has no user or more than 10,000, or has a wrong line, which
    /// the error names.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = PasswordFile::new(path.as_ref())?;
        let path = file.path().into();
        let mut key = Key::default();
        getrandom(&mut key, GetRandomFlags::empty())?;
        Ok(Self {
            checks: Arc::new(Checks::new(file, key)?),
            path,
        })
    }

    /// Returns the path of the password file, made absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the password file now, in this thread, whether or not it has changed: after the process has become another user, for
    /// example.
    ///
    /// # Errors
    /// As for [`open`](Self::open); the users stay as they were.
    pub fn reload(&self) -> io::Result<()> {
        self.checks.reload()
    }

    /// Returns whether the request may be answered: it has a user and a password that are known to be right. The
    /// [user](Exchange::user) is then set.
    ///
    /// If not, the handler returns without a reply of its own: the exchange has one, or a thread checks the password. If the password
    /// is right, the handler is then asked again for the same request.
    ///
    /// Preflights are admitted without a password if [`cors`](crate::ServerConfig::cors) is on, because browsers send none with them.
    /// So what answers OPTIONS must tell no secrets, and change nothing.
    ///
    /// If the handler [reads bodies](crate::BaseHttpRequestHandler::reads_body), the server reads them before it asks the handler,
    /// also those of clients without a password.
    pub fn admits(&self, exchange: &mut Exchange<'_>) -> bool {
        self.checks.report(exchange);
        if exchange.server().config().cors && exchange.is_preflight() {
            return true;
        }
        let Some(credentials) = Credentials::of(exchange.headers()) else {
            refuse_wrong(exchange);
            return false;
        };
        let user = credentials.user.clone();
        let is_admitted = self.checks.admits(credentials, exchange);
        if is_admitted {
            exchange.set_user(&user);
        }
        is_admitted
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        f.debug_struct("BasicAuth").field("path", &path).finish()
    }
}
