//! The options as a whole: defaults, usage errors, and values that depend on each other.

use super::*;

fn options(arguments: &[&str]) -> Result<Box<Options>, String> {
    match parse(arguments.iter().map(OsString::from).collect(), None) {
        Ok(Command::Serve(options)) => Ok(options),
        Ok(Command::Calibrate(_)) => Err("a calibration".to_owned()),
        Ok(Command::Show(text)) => Err(text),
        Err(CommandError::Usage(message) | CommandError::Run(message)) => Err(message),
    }
}

#[test]
fn the_defaults_are_those_of_http_server() {
    let options = options(&[]).unwrap();
    assert_eq!(options.addresses().unwrap(), ["[::]:8000".parse().unwrap()]);
    assert_eq!(options.directory, PathBuf::from("."));
    assert_eq!(options.config.log_format, LogFormat::Common);
}

#[test]
fn an_address_may_have_a_port() {
    let table = [
        ("127.0.0.1", "127.0.0.1:9"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("::1", "[::1]:9"),
        ("[::1]", "[::1]:9"),
        ("[::1]:80", "[::1]:80"),
        ("*", "[::]:9"),
        ("*:80", "[::]:80"),
        (":80", "[::]:80"),
    ];
    for (bind, address) in table {
        let options = options(&["-b", bind, "9"]).unwrap();
        assert_eq!(
            options.addresses().unwrap(),
            [address.parse().unwrap()],
            "{bind}"
        );
    }
}

#[test]
fn a_usage_error_names_the_option_and_what_it_wants() {
    let table: [(&[&str], &str); 46] = [
        (&["65536"], "PORT wants a number"),
        (
            &["1", "2"],
            "unexpected argument '2': the port is already '1'",
        ),
        (
            &["a", "b"],
            "unexpected argument 'b': the path is already 'a'",
        ),
        (
            &["-d", "a", "b"],
            "unexpected argument 'b': the path is already 'a'",
        ),
        (&[""], "an argument is empty"),
        (&["-p", "80"], "the port stands alone: httpoll 80"),
        (&["-b", "80"], "the port stands alone: httpoll 80"),
        (&["--host", "0.0.0.0"], "the address is given with --bind"),
        (&["--host", "::"], "the address is given with --bind"),
        (
            &["--generate", "tcsh"],
            "--generate wants man, bash, zsh or fish",
        ),
        (&["--nope"], "unknown option '--nope'"),
        (&["-d"], "--directory wants a value"),
        (&["-p", "HTTP/2"], "--protocol wants HTTP/1.1 or HTTP/1.0"),
        (&["-n", "-1"], "--loops wants a number"),
        (&["--max-per-ip", "0"], "--max-per-ip wants a number"),
        (&["--max-per-ip", "many"], "--max-per-ip wants a number"),
        (&["--max-per-ip"], "--max-per-ip wants a value"),
        (&["--keep-alive", "0"], "--keep-alive wants more than 0"),
        (
            &["--keep-alive", "75s"],
            "--keep-alive wants a number of seconds",
        ),
        (&["--drain-delay", "-1"], "--drain-delay wants a number"),
        (&["--drain-delay", ".5"], "--drain-delay wants a number"),
        (
            &["--drain-timeout", "1e3"],
            "--drain-timeout wants a number of seconds",
        ),
        (
            &["--trusted-proxy", "10.0.0.0/33"],
            "--trusted-proxy wants an address, a network such as 10.0.0.0/8, or unix, not '10.0.0.0/33'",
        ),
        (
            &["--trusted-proxy", "localhost"],
            "--trusted-proxy wants an address",
        ),
        (
            &["--proxy-protocol"],
            "--proxy-protocol needs --trusted-proxy",
        ),
        (
            &["--mime", "foo"],
            "--mime wants EXT=TYPE such as .foo=text/x-foo, where EXT is the last suffix of a name, not 'foo'",
        ),
        (&["--mime"], "--mime wants a value"),
        (&["--mime", "=text/plain"], "--mime wants EXT=TYPE"),
        (&["--mime", ".=text/plain"], "--mime wants EXT=TYPE"),
        (&["--mime", "foo="], "--mime wants EXT=TYPE"),
        (&["--mime", "foo=text"], "--mime wants EXT=TYPE"),
        (&["--mime", "foo=a/b\nC: d"], "--mime wants EXT=TYPE"),
        (&["--mime", "tar.gz=a/b"], "--mime wants EXT=TYPE"),
        (&["-H", "no colon"], "--header wants 'NAME: VALUE'"),
        (
            &["-H", "Content-Length: 5"],
            "--header wants a field that the server does not set itself",
        ),
        (&["-H", "A: b\nC: d"], "--header wants 'NAME: VALUE'"),
        (
            &["--log-format", "xml"],
            "--log-format wants common, combined or json",
        ),
        (&["-b", "[::1"], "--bind wants a name"),
        (&["-b", "a:65536"], "--bind wants a port from 0 to 65535"),
        (&["-b", ":+80"], "--bind wants a port from 0 to 65535"),
        (&["-b", "http://a:80/"], "--bind wants a name"),
        (&["-b", "a,b"], "--bind wants a name"),
        (&["-H", ": x"], "--header wants 'NAME: VALUE'"),
        (&["--host", ""], "--host wants a host name"),
        (&["--host", "http://a/"], "--host wants a host name"),
        (&["--host", "a", "--host=::1"], "--host wants a host name"),
    ];
    for (arguments, message) in table {
        let failure = options(arguments).unwrap_err();
        assert!(failure.contains(message), "{arguments:?}: {failure}");
    }
}

#[test]
fn every_word_that_the_help_names_is_taken() {
    for flag in flags::FLAGS {
        if let flags::Value::Word(_, words) = flag.value {
            for word in words {
                let arguments = [flag.long, word].map(OsString::from).to_vec();
                assert!(parse(arguments, None).is_ok(), "{} {word}", flag.long);
            }
        }
    }
}

#[test]
fn max_per_ip_limits_the_connections_of_one_client() {
    let limit = |arguments| options(arguments).unwrap().config.max_connections_per_ip;
    assert_eq!(limit(&[]), None);
    assert_eq!(limit(&["--max-per-ip", "8"]), Some(8));
    assert_eq!(limit(&["--max-per-ip=1", "--max-per-ip=2"]), Some(2));
}

#[test]
fn times_are_seconds_and_may_have_fractions() {
    let times = |arguments| {
        let config = options(arguments).unwrap().config;
        let times = [
            config.keep_alive_timeout,
            config.drain_delay,
            config.drain_timeout,
        ];
        times.map(|time| time.as_millis())
    };
    assert_eq!(times(&[]), [75_000, 0, 25_000]);
    assert_eq!(times(&["--live"]), [75_000, 0, 300]);
    assert_eq!(times(&["--live", "--drain-timeout=2"]), [75_000, 0, 2000]);
    let arguments = [
        "--keep-alive=620",
        "--drain-delay=0.25",
        "--drain-timeout=0",
    ];
    assert_eq!(times(&arguments), [620_000, 250, 0]);
}

#[test]
fn proxies_are_trusted_only_where_they_are_named() {
    let trusted = |arguments| {
        let config = options(arguments).unwrap().config;
        (config.trusted_proxies.len(), config.proxy_protocol)
    };
    assert_eq!(trusted(&[]), (0, false));
    let arguments = [
        "--trusted-proxy=::1",
        "--proxy-protocol",
        "--trusted-proxy",
        "unix",
    ];
    assert_eq!(trusted(&arguments), (2, true));
}

#[test]
fn a_suffix_may_be_given_a_media_type() {
    let table = [
        ("foo=text/x-foo", (".foo", "text/x-foo")),
        (".foo=text/x-foo", (".foo", "text/x-foo")),
        (".FOO=text/x-foo", (".foo", "text/x-foo")),
        ("a=b/c; d=\"e\"", (".a", "b/c; d=\"e\"")),
        ("größe=a/b", (".größe", "a/b")),
    ];
    for (mime, (suffix, media_type)) in table {
        let options = options(&["--mime", mime]).unwrap();
        let expected = [(suffix.to_owned(), media_type.to_owned())];
        assert_eq!(options.mime, expected, "{mime}");
    }
    let options = options(&["--mime", "a=b/c", "--mime=d=e/f"]).unwrap();
    assert_eq!(options.mime.len(), 2);
}

#[test]
fn headers_keep_their_order() {
    let options = options(&["-H", "A: 1", "--header", "B:2"]).unwrap();
    let expected = [
        ("A".to_owned(), "1".to_owned()),
        ("B".to_owned(), "2".to_owned()),
    ];
    assert_eq!(options.config.extra_response_headers, expected);
}

#[cfg(feature = "tls")]
#[test]
fn what_belongs_to_a_certificate_needs_one() {
    let table: [(&[&str], &str); 9] = [
        (&["--tls-key", "k"], "--tls-key needs --tls-cert"),
        (
            &["--tls-password-file", "p"],
            "--tls-password-file needs --tls-cert",
        ),
        (
            &["--redirect-http", ":80"],
            "--redirect-http needs --tls-cert",
        ),
        (
            &["--tls-cert", "a", "--tls-cert=b", "--tls-key", "k"],
            "--tls-key names 1 files and --tls-cert 2: name a key for each certificate, or none",
        ),
        (
            &["--tls-cert", "a", "--tls-key=k", "--tls-key", "l"],
            "--tls-key names 2 files and --tls-cert 1",
        ),
        (&["--tls-cert", ""], "--tls-cert wants a value"),
        (
            &["--tls-cert=a", "--redirect-http", "80"],
            "--redirect-http wants host:port or :port, not '80'",
        ),
        (
            &["--tls-cert=a", "--redirect-http", "localhost"],
            "--redirect-http wants host:port or :port, not 'localhost'",
        ),
        (
            &["--tls-cert=a", "--redirect-http", "unix:/run/x"],
            "--redirect-http wants host:port or :port, not 'unix:/run/x'",
        ),
    ];
    for (arguments, message) in table {
        let failure = options(arguments).unwrap_err();
        assert!(failure.starts_with(message), "{arguments:?}: {failure}");
    }
    for arguments in [
        &["--tls-cert", "a", "--tls-cert=b"][..],
        &["--tls-cert=a", "--tls-key=k", "--tls-password-file=p"],
        &["--tls-cert=a", "--redirect-http=[::]:80"],
    ] {
        assert_eq!(options(arguments).unwrap().scheme(), "https");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_program_without_tls_refuses_its_options() {
    let flags = flags::FLAGS.iter();
    let flags: Vec<_> = flags
        .filter(|flag| flag.group == flags::Group::Tls)
        .collect();
    assert_eq!(flags.len(), 4);
    for flag in flags {
        let failure = options(&[flag.long, ":80"]).unwrap_err();
        let expected = "this httpoll was built without TLS (feature tls)";
        assert_eq!(failure, format!("{}: {expected}", flag.long));
    }
}
