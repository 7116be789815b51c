//! The real binary under test: a settings file of its own, the process, its log and its HTTP pages.
//!
//! A [`Service`] is killed when it is dropped, so that a test that fails leaves nothing running.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Kafka, PATIENCE};

/// Input topics by their key in the settings, in the order in which records of one instant are
/// taken.
pub const INPUTS: [&str; 5] = ["usage", "tickets", "payments", "surveys", "accounts"];
/// Output topics by their key in the settings.
pub const OUTPUTS: [&str; 4] = ["events", "scores", "dead_letters", "changelog"];

/// A settings file in a folder of its own, and the names that are this test's alone.
pub struct Setup {
    /// Written to the file at each start: JSON is YAML.
    pub settings: Value,
    folder: TempDir,
}

impl Setup {
    /// Topics and group of this test's own; records drive the clock, everything is published from
    /// the epoch on, and reports are not held back.
    pub fn new(kafka: &Kafka) -> Setup {
        Setup::on(kafka.bootstrap(), |what| kafka.name(what))
    }

    /// The same for any address, with names from `name`.
    pub fn on(bootstrap: &str, name: impl Fn(&str) -> String) -> Setup {
        let mut topics = json!({});
        for topic in INPUTS.iter().chain(&OUTPUTS) {
            topics[topic] = json!(name(topic));
        }
        let settings = json!({
            "kafka": {
                "bootstrap_servers": bootstrap,
                "group_id": name("group"),
                "instance": "one",
                "session_timeout": "6s",
                "topics": topics,
            },
            "engine": {
                "workers": 1,
                "task_time": "records",
                "publish_from": "1970-01-01T00:00:00Z",
            },
            "scores": { "min_interval": "0s" },
            "http": { "listen": "127.0.0.1:0" },
        });
        Setup { settings, folder: tempfile::tempdir().expect("a folder for the settings") }
    }

    /// The same settings in a new, empty folder, for a process of another name.
    pub fn named(&self, instance: &str) -> Setup {
        let folder = tempfile::tempdir().expect("a folder for the settings");
        for file in fs::read_dir(self.folder.path()).expect("the folder is there").flatten() {
            fs::copy(file.path(), folder.path().join(file.file_name())).expect("files are copied");
        }
        let mut settings = self.settings.clone();
        settings["kafka"]["instance"] = json!(instance);
        Setup { settings, folder }
    }

    /// The name of a topic, by its key in the settings.
    pub fn topic(&self, key: &str) -> &str {
        self.settings["kafka"]["topics"][key].as_str().expect("every topic has a name")
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        self.settings["kafka"]["group_id"].as_str().expect("the group has a name")
    }

    /// Puts a file beside the settings and returns its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("the folder takes files");
        path
    }

    /// Judges by this scorecard instead of the default one.
    pub fn scorecard(&mut self, yaml: &str) {
        self.file("scorecard.yaml", yaml);
        self.settings["scorecards"] = json!([{ "file": "scorecard.yaml" }]);
    }

    /// Runs a command to its end: `topics create` and the like.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let config = self.write();
        let mut command = barometer();
        command.args(arguments).arg("--config").arg(config);
        command.output().expect("the binary can be run")
    }

    /// Makes the topics with `topics create`.
    pub fn create_topics(&self, partitions: u32) {
        let partitions = partitions.to_string();
        // Test records carry timestamps of any year.
        let kept = ["--retention", "forever"];
        let create = ["topics", "create", "--partitions", &partitions];
        let output = self.command(&[&create[..], &kept].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts `run` with more arguments.
    pub fn run(&self, arguments: &[&str]) -> Service {
        let config = self.write();
        let mut command = barometer();
        command.arg("run").arg("--config").arg(config).args(arguments);
        Service::start(command)
    }

    fn write(&self) -> PathBuf {
        let text = serde_json::to_string_pretty(&self.settings).expect("it is JSON");
        self.file("barometer.yaml", &text)
    }
}

fn barometer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barometer"));
    // What whoever runs the tests has set must not reach the settings under test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BAROMETER__")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
    command
}

/// A running `barometer run`.
pub struct Service {
    child: Child,
    log: Arc<Log>,
}

/// What the process has said on standard error.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    grown: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// A test that fails with the lock in its hands has written nothing.
    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    fn start(mut command: Command) -> Service {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be run");
        let stderr = child.stderr.take().expect("the pipe asked for");
        let log = Arc::new(Log::default());
        let writer = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                writer.lock().lines.push(line);
                writer.grown.notify_all();
            }
            writer.lock().ended = true;
            writer.grown.notify_all();
        });
        Service { child, log }
    }

    /// Everything said so far, a line each.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().lines.clone()
    }

    /// [`Service::log`], for whoever keeps it: it is not told once more when the test fails.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().lines)
    }

    /// How many lines so far contain `text`.
    pub fn said(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for the `count`th line that contains `text` and returns it.
    pub fn wait_for_line(&self, text: &str, count: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.log.lock();
        loop {
            let found = state.lines.iter().filter(|line| line.contains(text)).nth(count - 1);
            if let Some(line) = found {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !state.ended,
                "waited in vain for line {count} with `{text}`; the log:\n{}",
                state.lines.join("\n")
            );
            state =
                self.log.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Where the pages are, once the process says so.
    pub fn address(&self) -> String {
        let line = self.wait_for_line("serving metrics and reports", 1);
        let (_, rest) = line.split_once("listening=").expect("the line names the address");
        rest.split_whitespace().next().expect("an address follows").to_owned()
    }

    /// One page: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(&self.address(), path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Waits until `/readyz` says yes.
    pub fn wait_until_ready(&self) {
        self.wait_for_page("/readyz", |status, _| status == 200);
    }

    /// Waits until a page is as wanted, and returns its body.
    pub fn wait_for_page(&self, path: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.get(path);
            if wanted(status, &body) {
                return body;
            }
            assert!(
                Instant::now() < deadline,
                "`{path}` stayed at {status}: {body}\nthe log:\n{}",
                self.log().join("\n")
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The value of a metric's line, such as `barometer_events_consumed_total{source="usage"}`.
    pub fn metric(&self, name_and_labels: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name_and_labels))?;
        Some(line.trim().parse().expect("a metric is a number"))
    }

    /// Seconds of processor time the process has used.
    pub fn processor_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // After the name, which may hold spaces: state is field 3, user and system time 14 and 15.
        let (_, fields) = stat.rsplit_once(')').expect("the name stands in brackets");
        let ticks: Vec<f64> =
            fields.split_whitespace().skip(11).take(2).map(|t| t.parse().unwrap()).collect();
        // In hundredths of a second on every Linux there is.
        ticks.iter().sum::<f64>() / 100.0
    }

    /// Bytes of memory it has now, and had at most.
    pub fn memory(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("it runs");
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            1_024 * kilobytes.unwrap_or(0_u64)
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("`kill` can be run");
        assert!(sent.success(), "the process has gone:\n{}", self.log().join("\n"));
    }

    /// Waits for the end; returns how it ended and everything it said.
    pub fn wait(&mut self) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log().join("\n"));
            thread::sleep(Duration::from_millis(10));
        };
        let mut state = self.log.lock();
        while !state.ended {
            state = self.log.grown.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (status, state.lines.clone())
    }

    /// Stops it with a signal; it must end well, within the five seconds it has for that.
    pub fn stop(mut self, signal: &str) -> Vec<String> {
        self.signal(signal);
        let told = Instant::now();
        let (status, log) = self.wait();
        let took = told.elapsed();
        assert_eq!(status.code(), Some(0), "{status}; the log:\n{}", log.join("\n"));
        assert!(took <= Duration::from_secs(5), "took {took:?}; the log:\n{}", log.join("\n"));
        log
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the service's log:\n{}", self.log().join("\n"));
        }
    }
}

fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.expect("a status"), body.to_owned()))
}

/// The repository's default scorecard.
pub fn default_scorecard() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scorecards/saas-default.yaml");
    fs::read_to_string(path).expect("the default scorecard is in the repository")
}

/// The wall clock, in milliseconds since 1970.
pub fn now_millis() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a year after 1970");
    i64::try_from(since_epoch.as_millis()).expect("a year before 292 million")
}
