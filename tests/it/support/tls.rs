//! HTTPS: an authority and its certificates, servers that have them, and clients whose side of TLS the test controls.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use super::client::connect_tcp;
use super::{Client, Reply, Server, Site};

/// The names of the certificate that a server has unless the test chooses another one.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// An authority that signs certificates, and that the clients of a test trust.
#[derive(Clone)]
pub(crate) struct Authority(Arc<CertifiedIssuer<'static, KeyPair>>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A server that speaks TLS, and the authority that signed its certificate.
pub(crate) struct HttpsServer {
    server: Server,
    pub(crate) authority: Authority,
}

/// A client within TLS. When dropped it closes the connection without close_notify.
pub(crate) type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

/// How the server ended a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With close_notify.
    Notified,
    /// Without it: a client cannot tell whether the last reply is whole.
    Truncated,
    Reset,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Self(Arc::new(CertifiedIssuer::self_signed(params, key).unwrap()))
    }

    /// Issues a certificate for `names` with a key of P-256.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_for(&KeyPair::generate().unwrap(), names)
    }

    pub(crate) fn issue_for(&self, key: &KeyPair, names: &[&str]) -> Pair {
        let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, &names[0]);
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Pair {
            certificate: params.signed_by(key, &**self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes the authority's own certificate beside the site, for clients that are programs.
    pub(crate) fn write(&self, site: &Site) -> PathBuf {
        let path = site.beside("authority.crt");
        fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// What a client needs that trusts this authority and offers these versions. It keeps sessions for resumption.
    pub(crate) fn client_config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        self.client_config_of(ring::default_provider(), versions)
    }

    /// The same with some of the algorithms.
    pub(crate) fn client_config_of(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

impl Pair {
    /// Writes both files beside the site; returns the options that name them.
    pub(crate) fn write(&self, site: &Site, name: &str) -> [String; 4] {
        let certificate = site.beside(&format!("{name}.crt"));
        let key = site.beside(&format!("{name}.key"));
        fs::write(&certificate, &self.certificate).unwrap();
        fs::write(&key, &self.key).unwrap();
        let text = |path: PathBuf| path.into_os_string().into_string().unwrap();
        let (flags, paths) = (["--tls-cert", "--tls-key"], [text(certificate), text(key)]);
        let [first, second] = paths;
        [flags[0].to_owned(), first, flags[1].to_owned(), second]
    }
}

impl HttpsServer {
    pub(crate) fn start(site: &Site) -> Self {
        Self::with(site, &[])
    }

    pub(crate) fn with(site: &Site, options: &[&str]) -> Self {
        let authority = Authority::new();
        let pair = authority.issue(&NAMES);
        Self::with_pairs(site, authority, &[("server", pair)], options)
    }

    /// Starts a server with several certificates, each in the files of its name.
    pub(crate) fn with_pairs(
        site: &Site,
        authority: Authority,
        pairs: &[(&str, Pair)],
        options: &[&str],
    ) -> Self {
        let written = pairs.iter().map(|(name, pair)| pair.write(site, name));
        let written: Vec<String> = written.flatten().collect();
        let mut all: Vec<&str> = written.iter().map(String::as_str).collect();
        all.extend(options);
        let server = Server::with(site, &all);
        assert!(
            server.banner().starts_with("Serving HTTPS on "),
            "{}",
            server.banner()
        );
        Self { server, authority }
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        self.authority.client_config(ALL_VERSIONS)
    }

    /// Connects with TLS; the handshake is done.
    pub(crate) fn connect(&self) -> TlsClient {
        self.connect_with(self.client_config())
    }

    pub(crate) fn connect_with(&self, config: impl Into<Arc<ClientConfig>>) -> TlsClient {
        self.try_connect(config, "localhost").expect("no handshake")
    }

    /// Connects and does the handshake as a client of the server `name`.
    pub(crate) fn try_connect(
        &self,
        config: impl Into<Arc<ClientConfig>>,
        name: &str,
    ) -> io::Result<TlsClient> {
        Handshake::begin(connect_tcp(self.address()), config, name).complete()
    }

    /// Connects without TLS.
    pub(crate) fn connect_plain(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sends one request on a new connection and reads the reply.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        self.connect().ask(request)
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.connect().get(target)
    }

    /// Asserts that a new client is served.
    #[track_caller]
    pub(crate) fn assert_serving(&self) {
        assert_eq!(self.get("/hello.txt").body, b"Hello, world!\n");
    }
}

impl Deref for HttpsServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl HttpsServer {
    /// The server itself, to wait for its end.
    pub(crate) fn process(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl TlsClient {
    pub(crate) fn tls(&self) -> &ClientConnection {
        &self.stream.conn
    }

    pub(crate) fn tls_mut(&mut self) -> &mut ClientConnection {
        &mut self.stream.conn
    }

    pub(crate) fn stream_mut(&mut self) -> &mut StreamOwned<ClientConnection, TcpStream> {
        &mut self.stream
    }

    /// The connection below TLS.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.stream.sock
    }

    /// Sends each byte in a record of its own.
    pub(crate) fn send_in_bytes(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        for byte in bytes.as_ref() {
            self.send([*byte]);
        }
        self
    }

    /// Sends close_notify; replies can still be read.
    pub(crate) fn close_notify(&mut self) -> &mut Self {
        self.stream.conn.send_close_notify();
        self.flush()
    }

    /// Sends what TLS itself has to send, such as an update of keys.
    pub(crate) fn flush(&mut self) -> &mut Self {
        self.stream.flush().expect("the server took no bytes");
        self
    }

    /// Closes the sending side of the connection below TLS, without close_notify.
    pub(crate) fn half_close_tcp(&mut self) -> &mut Self {
        self.tcp().shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Resets the connection below TLS.
    pub(crate) fn reset_tcp(self) {
        rustix::net::sockopt::set_socket_linger(self.tcp(), Some(Duration::ZERO)).unwrap();
    }

    /// Reads until the connection below TLS ends; counts the bytes, and says how it ended.
    pub(crate) fn read_to_its_end(&mut self) -> (u64, End) {
        let mut count = self.take_unread().len() as u64;
        let mut room = vec![0; 256 * 1024];
        let end = loop {
            match self.stream.read(&mut room) {
                Ok(0) => break End::Notified,
                Ok(length) => count += length as u64,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break End::Truncated,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("after {count} bytes: {error}"),
            }
        };
        if end == End::Notified {
            let after = self.stream.sock.read(&mut room).expect("no FIN");
            assert_eq!(after, 0, "bytes after close_notify");
        }
        (count, end)
    }

    /// Asserts that the server sends close_notify and FIN, and no other bytes before them.
    #[track_caller]
    pub(crate) fn assert_notified(&mut self) {
        assert_eq!(self.read_to_its_end(), (0, End::Notified));
    }
}

/// A handshake that the test carries out step by step.
pub(crate) struct Handshake {
    tcp: TcpStream,
    connection: ClientConnection,
}

impl Handshake {
    pub(crate) fn begin(tcp: TcpStream, config: impl Into<Arc<ClientConfig>>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Self {
            tcp,
            connection: ClientConnection::new(config.into(), name).unwrap(),
        }
    }

    /// Begins one with a server that has `localhost` as a name.
    pub(crate) fn with(server: &HttpsServer, config: impl Into<Arc<ClientConfig>>) -> Self {
        Self::begin(connect_tcp(server.address()), config, "localhost")
    }

    /// The bytes that the client has to send now: first its ClientHello.
    pub(crate) fn flight(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> &mut Self {
        self.tcp.write_all(bytes).expect("the server took no bytes");
        self
    }

    /// Reads the server's flight, until the client has bytes to send.
    pub(crate) fn receive(&mut self) -> &mut Self {
        while !self.connection.wants_write() {
            let length = self.connection.read_tls(&mut self.tcp).unwrap();
            assert!(length > 0, "the server closed within the handshake");
            self.connection.process_new_packets().unwrap();
        }
        self
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Ends the handshake, and sends `first` as early as its version allows.
    pub(crate) fn complete_with(mut self, first: &[u8]) -> TlsClient {
        self.connection.writer().write_all(first).unwrap();
        self.complete().expect("no handshake")
    }

    /// Ends the handshake. What was taken with [`flight`](Self::flight) has to be sent before.
    pub(crate) fn complete(mut self) -> io::Result<TlsClient> {
        while self.connection.is_handshaking() {
            let (read, _) = self.connection.complete_io(&mut self.tcp)?;
            if read == 0 && self.connection.is_handshaking() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let mut stream = StreamOwned::new(self.connection, self.tcp);
        stream.flush()?;
        Ok(Client::over(stream))
    }
}
