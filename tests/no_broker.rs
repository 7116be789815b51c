//! `run` where no broker is: it says so, waits without being busy, and ends when told to.

mod support;

use std::net::TcpListener;
use std::time::Instant;

use serde_json::json;

use support::service::Setup;

#[test]
fn without_a_broker_run_says_where_it_looked_and_waits_longer_each_time() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed = listener.local_addr().expect("it has an address").to_string();
    drop(listener);
    let setup = Setup::on(&closed, |what| format!("nowhere-{what}"));
    let service = setup.run(&[]);

    let pause_millis = |line: &str| -> u64 {
        assert!(line.contains(&closed), "no address in: {line}");
        let (_, rest) = line.split_once("next_try_in_ms=").expect("the line says when it tries");
        rest.split_whitespace().next().unwrap().parse().expect("milliseconds")
    };
    let first = service.wait_for_line("no broker answers", 1);
    let (watched, used) = (Instant::now(), service.processor_seconds());
    let (status, body) = service.get("/readyz");
    assert_eq!(status, 503, "{body}");
    assert!(body.starts_with("worker 0: asking for the cluster's topics: "), "{body}");
    assert_eq!(service.get("/livez").0, 200);
    let (status, body) = service.get("/accounts/acme");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("`acme` is not known to this process yet: worker 0: asking"), "{body}");
    let second = service.wait_for_line("no broker answers", 2);
    assert!(pause_millis(&first) < pause_millis(&second), "{first}\n{second}");
    let busy = (service.processor_seconds() - used) / watched.elapsed().as_secs_f64();
    assert!(busy < 0.2, "it used {:.0} % of a processor for waiting", busy * 100.0);
    // In the middle of a try: the question under way must not hold the end up.
    service.stop("TERM");
}

#[test]
fn a_wrong_address_to_listen_on_is_told_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut setup = Setup::on("127.0.0.1:1", |what| format!("nowhere-{what}"));
    let address = taken.local_addr().unwrap().to_string();
    setup.settings["http"] = json!({ "listen": address });
    let (status, log) = setup.run(&[]).wait();
    assert_eq!(status.code(), Some(2), "{log:?}");
    assert!(log.iter().any(|line| line.contains(&address) && line.contains("--listen")), "{log:?}");
}
