//! `/metrics` of `--admin`: its formats, and that each figure is right.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};

use crate::admin::{admin_of, ask, start};
use crate::common;
use crate::support::{Client, Json, Server, Site, get, request, skip, wait_until};

const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// One family of metrics.
#[derive(Debug, Default)]
struct Family {
    help: String,
    kind: String,
    /// Samples in order: name, labels and value.
    samples: Vec<(String, String, f64)>,
}

/// Parses Prometheus text strictly: each family has HELP and TYPE once, before its samples, and is in one piece.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# HELP ") {
            let (name, help) = comment.split_once(' ').expect(line);
            let help = help.to_owned();
            current = name.to_owned();
            let family = Family {
                help,
                ..Family::default()
            };
            assert!(families.insert(current.clone(), family).is_none(), "{line}");
        } else if let Some(comment) = line.strip_prefix("# TYPE ") {
            let (name, kind) = comment.split_once(' ').expect(line);
            assert_eq!(name, current);
            let family = families.get_mut(name).unwrap();
            assert!(
                family.kind.is_empty() && family.samples.is_empty(),
                "{line}"
            );
            family.kind = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect(line).to_owned();
            let family = families.get_mut(&current).unwrap();
            let suffix = name.strip_prefix(&*current).expect(line);
            let suffixes: &[&str] = match &*family.kind {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(suffixes.contains(&suffix), "{line}");
            let value = value.parse().expect(line);
            family.samples.push((name.to_owned(), labels, value));
        }
    }
    families
}

fn metrics(admin: SocketAddr) -> BTreeMap<String, Family> {
    let (status, text) = ask(admin, "/metrics");
    assert_eq!(status, 200);
    parse(&text)
}

impl Family {
    #[track_caller]
    fn value(&self, labels: &str) -> f64 {
        let mut samples = self.samples.iter();
        let found = samples.find(|(_, candidate, _)| candidate == labels);
        found.unwrap_or_else(|| panic!("no {labels} in {self:?}")).2
    }
}

#[track_caller]
pub(crate) fn value(admin: SocketAddr, name: &str, labels: &str) -> f64 {
    metrics(admin)[name].value(labels)
}

#[test]
fn requests_and_bytes_are_counted_over_all_loops() {
    for loops in ["1", "3"] {
        let (server, admin) = start(&Site::new(), &["-n", loops]);
        let mut sent = 0;
        for _ in 0..20 {
            let mut client = server.connect();
            client.send(request("GET", "/hello.txt", &["Connection: close"]));
            sent += client.read_to_end().len();
        }
        for request_text in [
            request("HEAD", "/hello.txt", &["Connection: close"]),
            request("GET", "/missing", &["Connection: close"]),
            request("POST", "/hello.txt", &["Connection: close"]),
            request("BREW", "/", &["Connection: close"]),
            "no request\r\n\r\n".to_owned(),
        ] {
            let mut client = server.connect();
            client.send(request_text);
            sent += client.read_to_end().len();
        }
        let metrics = metrics(admin);
        let requests = &metrics["httpoll_requests_total"];
        for (labels, count) in [
            ("method=\"GET\",code=\"2xx\"", 20.0),
            ("method=\"GET\",code=\"4xx\"", 1.0),
            ("method=\"GET\",code=\"5xx\"", 0.0),
            ("method=\"HEAD\",code=\"2xx\"", 1.0),
            ("method=\"POST\",code=\"4xx\"", 1.0),
            ("method=\"other\",code=\"5xx\"", 1.0),
            ("method=\"other\",code=\"4xx\"", 1.0),
        ] {
            assert_eq!(requests.value(labels), count, "{labels}");
        }
        let all: f64 = requests.samples.iter().map(|(.., value)| value).sum();
        assert_eq!(all, 25.0);
        let counted = |name: &str| metrics[name].value("");
        assert_eq!(counted("httpoll_connections_accepted_total"), 25.0);
        assert_eq!(counted("httpoll_sent_bytes_total"), sent as f64);
        let lookups = counted("httpoll_cache_hits_total") + counted("httpoll_cache_misses_total");
        assert_eq!(lookups, 21.0);
        let busy = &metrics["httpoll_loop_busy_seconds_total"];
        assert_eq!(busy.samples.len(), loops.parse().unwrap());
    }
}

#[test]
fn buckets_ascend_and_the_last_one_has_all_requests() {
    let site = Site::new();
    site.sparse("big.bin", 16 << 20);
    let (server, admin) = start(&site, &[]);
    for path in ["/hello.txt", "/missing", "/"] {
        server.get(path);
    }
    // A reply over several turns, and one that its client breaks off.
    assert_eq!(server.get("/big.bin").body.len(), 16 << 20);
    let mut client = server.connect();
    client.send(get("/big.bin")).read_head();
    client.reset();
    let durations = |metrics: &BTreeMap<String, Family>| {
        metrics["httpoll_request_duration_seconds"]
            .samples
            .iter()
            .map(|(.., value)| *value)
            .collect::<Vec<_>>()
    };
    wait_until("all are counted", || {
        durations(&metrics(admin)).last() == Some(&5.0)
    });
    let metrics = metrics(admin);
    let family = &metrics["httpoll_request_duration_seconds"];
    assert_eq!(family.kind, "histogram");
    let all = durations(&metrics);
    let buckets = &all[..all.len() - 2];
    assert!(buckets.is_sorted(), "{buckets:?}");
    assert_eq!(family.value("le=\"+Inf\""), 5.0);
    let bounds: Vec<f64> = family.samples[..buckets.len() - 1]
        .iter()
        .map(|(_, label, _)| label["le=\"".len()..label.len() - 1].parse().unwrap())
        .collect();
    assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
    assert!(all[all.len() - 2] > 0.0, "the sum");
}

#[test]
fn connections_are_counted_by_their_state() {
    let site = Site::new();
    site.sparse("big.bin", 64 << 20);
    let (server, admin) = start(&site, &[]);
    let mut idle = server.connect();
    idle.get("/hello.txt");
    let mut reading = server.connect();
    reading.send("GET /hel");
    let mut sending = server.connect();
    sending.send(get("/big.bin")).read_head();
    wait_until("each connection is in its state", || {
        let metrics = metrics(admin);
        let states = ["idle", "reading", "sending", "waiting", "lingering"];
        let count = |state| metrics["httpoll_connections"].value(&format!("state=\"{state}\""));
        states.map(count) == [1.0, 1.0, 1.0, 0.0, 0.0]
    });
}

/// How many file threads are in each state.
fn file_threads(metrics: &BTreeMap<String, Family>) -> [f64; 3] {
    let threads = &metrics["httpoll_file_threads"];
    ["idle", "busy", "lost"].map(|state| threads.value(&format!("state=\"{state}\"")))
}

const FILE_FIGURES: [&str; 4] = [
    "httpoll_file_jobs_total",
    "httpoll_file_jobs_refused_total",
    "httpoll_file_queue",
    "httpoll_file_longest_wait_seconds",
];

#[test]
fn file_threads_are_counted_once_for_all_loops() {
    let options = ["-n", "3", "--file-threads", "5", "--report"];
    let (mut server, admin) = start(&Site::new(), &options);
    // Each check of the directory is a job.
    for _ in 0..2 {
        assert_eq!(ask(admin, "/readyz").0, 200);
    }
    // A thread is idle when it has handed over its result and taken the lock again.
    wait_until("all file threads are idle", || {
        file_threads(&metrics(admin)) == [5.0, 0.0, 0.0]
    });
    let metrics = metrics(admin);
    let [done, refused, queued, wait] = FILE_FIGURES.map(|name| metrics[name].value(""));
    assert_eq!([done, refused, queued], [2.0, 0.0, 0.0]);
    assert!(wait > 0.0 && wait < 10.0, "{wait}");
    server.signal(Signal::TERM);
    server.wait();
    let report = server.log();
    let line = "\nfile threads    5: 0 busy, 0 lost; 2 jobs done, 0 queued, 0 refused; ";
    assert_eq!(report.matches(line).count(), 3, "{report}");
}

#[test]
fn a_server_without_file_threads_has_their_metrics_too() {
    let (mut server, admin) = start(&Site::new(), &["--file-threads", "0", "--report"]);
    assert_eq!(ask(admin, "/readyz").0, 200);
    let metrics = metrics(admin);
    assert_eq!(file_threads(&metrics), [0.0; 3]);
    let figures = FILE_FIGURES.map(|name| metrics[name].value(""));
    assert_eq!(figures, [0.0; 4]);
    server.signal(Signal::TERM);
    server.wait();
    let report = server.log();
    assert!(report.contains("\nfile threads    none\n"), "{report}");
}

#[test]
fn connections_beyond_the_limits_are_counted_as_refused() {
    let (server, admin) = start(&Site::new(), &["--max-per-ip", "1"]);
    let mut first = server.connect();
    first.get("/hello.txt");
    let mut second = server.connect();
    second.send(get("/"));
    wait_until("the second connection is refused", || {
        value(admin, "httpoll_connections_refused_total", "") == 1.0
    });
    // The administration has no part in the limit.
    let _others = [Client::connect(admin), Client::connect(admin)];
    assert_eq!(ask(admin, "/livez").0, 200);
}

#[test]
fn openmetrics_is_for_clients_that_prefer_it() {
    let (_server, admin) = start(&Site::new(), &[]);
    let mut client = Client::connect(admin);
    let reply = client.ask(request("GET", "/metrics", &[OPEN_METRICS]));
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.field("content-type"), Some(media_type));
    assert!(reply.text().contains("# TYPE httpoll_requests counter\n"));
    assert!(reply.text().contains("\nhttpoll_requests_total{"));
    assert!(reply.text().ends_with("\n# EOF\n"));
    for accept in ["*/*", "text/plain", "application/openmetrics-text;q=0, */*"] {
        let accept = format!("Accept: {accept}");
        let reply = client.ask(request("GET", "/metrics", &[&accept]));
        let media_type = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(reply.field("content-type"), Some(media_type), "{accept}");
        assert!(!reply.text().contains("EOF"));
    }
}

#[test]
fn promtool_accepts_the_metrics() {
    let (server, admin) = start(&Site::new(), &[]);
    server.get("/hello.txt");
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = command.spawn() else {
        return skip("promtool is not installed");
    };
    let text = ask(admin, "/metrics").1;
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    let findings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && findings.is_empty(), "{findings}");
}

#[test]
fn the_process_is_measured_also_when_it_is_confined() {
    let user: &[&str] = if geteuid().is_root() {
        &["--user", "nobody"]
    } else {
        &[]
    };
    let (server, admin) = start(&Site::new(), user);
    let metrics = metrics(admin);
    let counted = |name: &str| metrics[name].value("");
    // The connection of this question is one more or not, depending on when the kernel has closed it.
    let open = server.descriptors() as f64;
    assert!((counted("process_open_fds") - open).abs() <= 1.0, "{open}");
    let resident = 1024.0 * common::memory(server.id(), "VmRSS") as f64;
    let measured = counted("process_resident_memory_bytes");
    assert!(
        (measured / resident - 1.0).abs() < 0.5,
        "{measured} {resident}"
    );
    assert!(counted("process_virtual_memory_bytes") > measured);
    assert!(counted("process_max_fds") >= open);
    assert!(counted("process_cpu_seconds_total") < 60.0);
    let age = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let age = age - counted("process_start_time_seconds");
    assert!((-5.0..60.0).contains(&age), "{age}");
}

#[test]
fn a_server_without_room_for_clients_still_answers() {
    let site = Site::new();
    let root = site.root();
    let served = [
        "-c",
        "ulimit -n 40; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_httpoll"),
        "0",
        "-b",
        "127.0.0.1",
        "--admin",
        "127.0.0.1:0",
        "-d",
        root.to_str().unwrap(),
    ];
    let mut shell = Command::new("sh");
    shell.args(served).stdin(Stdio::null());
    let server = Server::spawn(shell);
    let admin = admin_of(&server);
    let _clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    let evicted = || {
        let metrics = metrics(admin);
        let evicted = &metrics["httpoll_connections_evicted_total"];
        evicted.samples.iter().map(|(.., count)| count).sum::<f64>()
    };
    assert_eq!(ask(admin, "/livez").0, 200);
    // Connections without a request wait in the kernel for about a second.
    let end = Instant::now() + Duration::from_secs(20);
    while evicted() == 0.0 && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
        server.get("/hello.txt");
    }
    assert!(evicted() > 0.0);
}

/// The table of metrics in docs/metrics.md: name, type and help.
fn documented() -> BTreeMap<String, (String, String)> {
    let text = include_str!("../../docs/metrics.md");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 5);
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let mut next = || cells.next().unwrap().to_owned();
        let (name, kind, _labels, help) = (next(), next(), next(), next());
        (name.trim_matches('`').to_owned(), (kind, help))
    })
    .collect()
}

#[test]
fn the_documents_have_the_table_of_metrics() {
    let (_server, admin) = start(&Site::new(), &[]);
    let shown: BTreeMap<_, _> = metrics(admin)
        .into_iter()
        .map(|(name, family)| (name, (family.kind, family.help)))
        .collect();
    assert_eq!(documented(), shown);
}

#[test]
fn the_dashboard_names_only_metrics_that_exist() {
    let text = include_str!("../../examples/deploy/grafana.json");
    let dashboard = Json::parse(text);
    assert!(!dashboard.get("panels").items().is_empty());
    let (_server, admin) = start(&Site::new(), &[]);
    let metrics = metrics(admin);
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    let mut named = 0;
    for word in words.filter(|word| word.starts_with("httpoll_") || word.starts_with("process_")) {
        let parts = ["_bucket", "_sum", "_count"];
        let family = parts
            .iter()
            .find_map(|part| word.strip_suffix(part))
            .unwrap_or(word);
        assert!(
            metrics.contains_key(word) || metrics.contains_key(family),
            "{word}"
        );
        named += 1;
    }
    assert!(named > 10);
}
