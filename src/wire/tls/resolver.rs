//! Chooses the certificate of a connection by the server name that the client sends (RFC 6066 section 3).
//!
//! Invariant: a set of pairs is complete and never changes; a reload replaces all of it at once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;
use super::server_name;

#[derive(Debug)]
pub(super) struct Resolver {
    pairs: RwLock<Arc<Pairs>>,
}

#[derive(Debug)]
pub(super) struct Pairs {
    all: Vec<Arc<Pair>>,
    /// The pairs for a name, in the order of `all`. A wildcard is kept without its asterisk, as `.example.org`.
    by_name: HashMap<String, Vec<Arc<Pair>>>,
}

impl Pairs {
    pub(super) fn new(pairs: impl IntoIterator<Item = Pair>) -> Self {
        let all: Vec<_> = pairs.into_iter().map(Arc::new).collect();
        let mut by_name: HashMap<String, Vec<Arc<Pair>>> = HashMap::new();
        for pair in &all {
            for name in &pair.names {
                let name = name.strip_prefix('*').unwrap_or(name);
                let named = by_name.entry(name.to_owned()).or_default();
                named.push(Arc::clone(pair));
            }
        }
        Self { all, by_name }
    }

    /// Returns the first pair for the name whose key the client can use; a name that no pair has is served by any pair.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<Pair>> {
        let named = name.and_then(|name| self.named(name)).unwrap_or(&self.all);
        let is_usable = |pair: &&Arc<Pair>| {
            let scheme = pair.certified().key.choose_scheme(schemes);
            scheme.is_some()
        };
        // Without a usable key rustls refuses the client with the right alert.
        match &named[..] {
            [only] => Some(only),
            several => several.iter().find(is_usable).or(several.first()),
        }
    }

    fn named(&self, name: &str) -> Option<&Vec<Arc<Pair>>> {
        // rustls gives the name in small letters; a dot at its end is not part of it.
        let name = name.strip_suffix('.').unwrap_or(name);
        let wildcard = || {
            let dot = name.find('.')?;
            self.by_name.get(name.get(dot..)?)
        };
        self.by_name.get(name).or_else(wildcard)
    }
}

impl Resolver {
    pub(super) fn new(pairs: Pairs) -> Self {
        let pairs = RwLock::new(Arc::new(pairs));
        Self { pairs }
    }

    pub(super) fn replace(&self, pairs: Pairs) {
        let mut current = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(pairs);
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        server_name::leave(hello.server_name());
        let pairs = Arc::clone(&self.pairs.read().unwrap_or_else(PoisonError::into_inner));
        let pair = pairs.choose(hello.server_name(), hello.signature_schemes())?;
        Some(Arc::clone(pair.certified()))
    }
}
