use super::*;
use crate::event_loop::Wake;
use crate::policy::Jitter;
use crate::service::LogFile;
use std::fs;
use std::io::{PipeReader, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A router whose stdout is a pipe, and a directory for log files.
struct Bench {
    router: Router,
    events: EventLoop,
    stdout: PipeReader,
    dir: PathBuf,
}

impl Bench {
    fn new() -> Bench {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("cox-log-{}-{n}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (stdout, writer) = io::pipe().unwrap();
        fd::set_nonblocking(stdout.as_fd(), true).unwrap();
        let mut router = Router::default();
        router.outlets.add(Sink::Container(Channel::Out, Container::new(writer.into(), "stdout")));
        Bench { router, events: EventLoop::new().unwrap(), stdout, dir }
    }

    /// A service whose stdout goes there: what it writes to, which does not block.
    fn service(&mut self, id: u32, name: &str, to: &LogTo) -> PipeWriter {
        let to = [(Channel::Out, to), (Channel::Err, &LogTo::Inherit)];
        self.router.prepare(id, name, to, &mut self.events).unwrap();
        let writer = self.router.writer(id, Channel::Out).unwrap();
        // A description of its own, as the router's must stay as it is.
        fd::reopen_nonblocking(writer).unwrap().into()
    }

    fn file(&self, max_size: u64, keep: u32) -> LogTo {
        let path = self.dir.join("log");
        LogTo::File(Box::new(LogFile { path, max_size, keep, stamp: Stamp::None }))
    }

    fn read(&self, id: u32) {
        // What is to be read is told once; told twice is no harm.
        let key = Key::Service(id, Channel::Out);
        self.router.again(key, &self.events);
    }

    /// Deals with what has happened; only after something has. Whether the disk was tried again.
    fn step(&mut self) -> bool {
        let wakes = self.events.wait();
        for wake in &wakes {
            let events = &mut self.events;
            match *wake {
                Wake::Io(Source::Output(id, channel)) => self.router.readable(id, channel, events),
                Wake::Io(Source::Syslog) => self.router.syslog_readable(events),
                Wake::Io(Source::Container(channel)) => self.router.writable(channel, events),
                Wake::Due(Timer::Output) => self.router.retry_due(events),
                other => panic!("{other:?}"),
            }
        }
        wakes.contains(&Wake::Due(Timer::Output))
    }

    /// Writes as much of `data` as the router takes.
    fn write(&mut self, id: u32, mut to: &PipeWriter, data: &[u8]) -> usize {
        let mut written = 0;
        while written < data.len() {
            match to.write(&data[written..]) {
                Ok(count) => written += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.router.readable(id, Channel::Out, &mut self.events);
                    match to.write(&data[written..]) {
                        Ok(count) => written += count,
                        Err(_) => return written,
                    }
                }
                Err(e) => panic!("{e}"),
            }
        }
        self.router.readable(id, Channel::Out, &mut self.events);
        written
    }

    /// What has arrived on stdout.
    fn stdout(&mut self) -> String {
        let mut found = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.stdout.read(&mut buffer) {
            found.extend(&buffer[..count]);
        }
        String::from_utf8(found).unwrap()
    }

    fn log(&self, suffix: &str) -> Vec<u8> {
        fs::read(self.dir.join(format!("log{suffix}"))).unwrap_or_default()
    }

    /// All that the files hold, the oldest first.
    fn logs(&self, keep: u32) -> Vec<u8> {
        let mut all: Vec<u8> = (1..=keep).rev().flat_map(|n| self.log(&format!(".{n}"))).collect();
        all.extend(self.log(""));
        all
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Numbered lines.
fn lines(numbers: std::ops::Range<usize>, width: usize) -> String {
    numbers.map(|n| format!("{n:0width$}\n")).collect()
}

#[test]
fn rotated_files_hold_every_line_whole() {
    let mut random = Jitter::new(0xdead_beef);
    for round in 0..6 {
        let mut bench = Bench::new();
        let to = bench.file(1000, 400);
        let pipe = bench.service(1, "web", &to);
        let mut data = Vec::new();
        for _ in 0..random.below(2000) {
            let length = random.below(if round % 2 == 0 { 30 } else { 300 });
            data.extend((0..length).map(|n| b'a' + (n % 26) as u8));
            data.push(b'\n');
        }
        data.extend(b"no newline");
        let mut rest = &data[..];
        while !rest.is_empty() {
            let (chunk, more) = rest.split_at((1 + random.below(5000)).min(rest.len()));
            assert_eq!(bench.write(1, &pipe, chunk), chunk.len());
            rest = more;
        }
        bench.router.ended(1, &mut bench.events);
        data.push(b'\n');
        assert!(bench.logs(400) == data);
        for n in 1..400 {
            let file = bench.log(&format!(".{n}"));
            assert!(file.len() <= 1000, "{} bytes", file.len());
            assert!(file.last().is_none_or(|last| *last == b'\n'), "a line was cut");
        }
    }
}

#[test]
fn only_so_many_files_are_kept() {
    let mut bench = Bench::new();
    let to = bench.file(10, 2);
    let pipe = bench.service(1, "web", &to);
    bench.write(1, &pipe, b"1111111\n2222222\n3333333\n4444444\n5555555\n");
    let files = ["", ".1", ".2", ".3"].map(|name| bench.log(name));
    assert_eq!(files, [&b"5555555\n"[..], b"4444444\n", b"3333333\n", b""]);
    let to = bench.file(10, 0);
    bench.service(1, "web", &to);
    bench.write(1, &pipe, b"6666666\n");
    assert_eq!([bench.log(""), bench.log(".1")], [&b"6666666\n"[..], b"4444444\n"]);
}

#[test]
fn a_file_that_was_moved_away_is_left_when_asked_to() {
    let mut bench = Bench::new();
    let to = bench.file(0, 0);
    let pipe = bench.service(1, "web", &to);
    bench.write(1, &pipe, b"one\n");
    fs::rename(bench.dir.join("log"), bench.dir.join("log.old")).unwrap();
    bench.write(1, &pipe, b"two\n");
    bench.router.reopen();
    bench.write(1, &pipe, b"three\n");
    assert_eq!([bench.log(".old"), bench.log("")], [&b"one\ntwo\n"[..], b"three\n"]);
}

#[test]
fn a_long_line_of_one_is_not_mixed_with_lines_of_another() {
    let mut bench = Bench::new();
    let to = bench.file(0, 0);
    let (web, db) = (bench.service(1, "web", &to), bench.service(2, "db", &to));
    let long = [b'x'; 20_000];
    bench.write(1, &web, &long);
    bench.write(2, &db, b"hello\n");
    bench.write(1, &web, b"end\n");
    let log = String::from_utf8(bench.log("")).unwrap();
    let lengths: Vec<usize> = log.lines().map(str::len).collect();
    assert_eq!(lengths, [16 * 1024, 5, 20_000 - 16 * 1024 + 3]);
    bench.write(1, &web, &long);
    bench.write(1, &web, b"\n");
    assert_eq!(bench.log("").len(), log.len() + 20_001, "alone, it is one line");
}

#[test]
fn a_slow_reader_holds_up_those_it_reads_and_nobody_else() {
    let mut bench = Bench::new();
    let web = bench.service(1, "web", &LogTo::Container(LineFormat::Prefix));
    let to = bench.file(0, 0);
    let db = bench.service(2, "db", &to);
    let data = lines(0..200_000, 9);
    let mut written = bench.write(1, &web, data.as_bytes());
    assert!(written < data.len() / 2, "nobody reads, but {written} bytes were taken");
    assert_eq!(bench.write(2, &db, data.as_bytes()), data.len());
    assert!(bench.log("") == data.as_bytes());
    let mut got = String::new();
    while got.len() < 16 * 200_000 {
        got += &bench.stdout();
        written += bench.write(1, &web, &data.as_bytes()[written..]);
        if !bench.router.outlets.all().all(Outlet::is_free) {
            bench.step();
        }
    }
    let wanted: String = data.lines().map(|line| format!("web | {line}\n")).collect();
    assert!(got == wanted);
}

#[test]
fn those_behind_one_slow_reader_take_turns() {
    let mut bench = Bench::new();
    let names = ["a", "b", "c"];
    let pipes: Vec<PipeWriter> = (0..3)
        .map(|id| bench.service(id, names[id as usize], &LogTo::Container(LineFormat::Prefix)))
        .collect();
    let data = lines(0..100_000, 9);
    let mut written = [0; 3];
    let mut counts = [0; 3];
    while counts.iter().sum::<usize>() < 60_000 {
        for id in 0..3 {
            written[id] += bench.write(id as u32, &pipes[id], &data.as_bytes()[written[id]..]);
        }
        for line in bench.stdout().lines() {
            counts[names.iter().position(|name| line.starts_with(name)).unwrap()] += 1;
        }
        if !bench.router.outlets.all().all(Outlet::is_free) {
            bench.step();
        }
    }
    assert!(counts.iter().all(|count| *count > 10_000), "{counts:?}");
}

#[test]
fn what_a_run_wrote_last_is_a_line() {
    let mut bench = Bench::new();
    let web = bench.service(1, "web", &LogTo::Container(LineFormat::Prefix));
    bench.service(2, "longer", &LogTo::Container(LineFormat::Prefix));
    bench.write(1, &web, b"one\ntw");
    assert_eq!(bench.stdout(), "web    | one\n");
    bench.router.ended(1, &mut bench.events);
    assert_eq!(bench.stdout(), "web    | tw\n");
    bench.router.ended(1, &mut bench.events);
    assert_eq!(bench.stdout(), "");
}

#[test]
fn at_the_end_all_is_read_to_its_end() {
    let mut bench = Bench::new();
    let web = bench.service(1, "web", &LogTo::Container(LineFormat::Plain));
    bench.router.finish(&mut bench.events);
    assert!(!bench.router.is_empty(), "somebody can still write");
    (&web).write_all(b"goodbye").unwrap();
    drop(web);
    bench.read(1);
    bench.step();
    assert!(bench.router.is_empty());
    assert_eq!(bench.stdout(), "goodbye\n");
}

#[test]
fn quiet_streams_hold_no_buffers() {
    let mut bench = Bench::new();
    let pipes: Vec<PipeWriter> =
        (0..100).map(|id| bench.service(id, "x", &LogTo::Container(LineFormat::Plain))).collect();
    for (id, pipe) in pipes.iter().enumerate() {
        bench.write(id as u32, pipe, b"a line\n");
        bench.stdout();
    }
    assert!(bench.router.streams.values().all(|stream| stream.rest.capacity() == 0));
    let buffers = &bench.router.buffers;
    assert!(buffers.input.capacity() <= 2 * SMALL && buffers.output.capacity() <= 2 * SMALL);
}

#[test]
fn what_is_sent_to_dev_log_comes_out_with_its_tag() {
    let mut bench = Bench::new();
    let path = bench.dir.join("dev-log");
    let to = LogTo::Container(LineFormat::Prefix);
    // One that a killed supervisor left is replaced, one that is in use is not.
    drop(UnixDatagram::bind(&path).unwrap());
    assert!(bench.router.open_dev_log(&path, &to, &bench.events).unwrap());
    assert!(!Router::default().open_dev_log(&path, &to, &bench.events).unwrap());
    let program = UnixDatagram::unbound().unwrap();
    program.send_to(b"<30>Nov 22 19:32:00 sshd[77]: a\nb", &path).unwrap();
    bench.step();
    assert_eq!(bench.stdout(), "sshd | a\nsshd | b\n");
    program.send_to(&[b'x'; 40_000], &path).unwrap();
    bench.step();
    assert_eq!(bench.stdout(), format!("syslog | {}\n", "x".repeat(syslog::LONGEST)));
    program.send_to(b"<30>last: words", &path).unwrap();
    bench.router.finish(&mut bench.events);
    assert_eq!(bench.stdout(), "last | words\n");
    assert!(bench.router.is_empty() && !path.exists());
}

/// Runs the test of this name once more, where $TMPDIR is a disk of a megabyte of its own. Whether
/// this is that run.
fn on_a_small_disk(test: &str) -> bool {
    if std::env::var_os("COX_SMALL_DISK").is_some() {
        return true;
    }
    let place =
        std::env::temp_dir().join(format!("cox-disk-{}-{}", std::process::id(), test.len()));
    fs::create_dir(&place).unwrap();
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$TMPDIR\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", mount, "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("COX_SMALL_DISK", "1").env("TMPDIR", &place);
    let output = command.output().unwrap();
    fs::remove_dir(&place).unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() && coracle::sys::process::effective_uid() != 0 {
        assert!(std::env::var_os("MUST_WORK").is_none_or(|v| v != "1"), "not root");
        eprintln!("skipped: only root can mount a small disk");
        return false;
    }
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stdout));
    false
}

#[test]
fn on_a_full_disk_the_oldest_goes_and_writing_goes_on() {
    if !on_a_small_disk("log::router::tests::on_a_full_disk_the_oldest_goes_and_writing_goes_on") {
        return;
    }
    let mut bench = Bench::new();
    let to = bench.file(200_000, 100);
    let pipe = bench.service(1, "web", &to);
    let data = lines(0..400_000, 9);
    assert_eq!(bench.write(1, &pipe, data.as_bytes()), data.len());
    let kept = bench.logs(100);
    assert!(kept.len() > 600_000, "{} bytes", kept.len());
    assert!(
        data.as_bytes().ends_with(&kept) && kept.len().is_multiple_of(10),
        "a line was cut or lost"
    );
}

#[test]
fn on_a_full_disk_with_nothing_to_delete_the_service_waits() {
    if !on_a_small_disk(
        "log::router::tests::on_a_full_disk_with_nothing_to_delete_the_service_waits",
    ) {
        return;
    }
    let mut bench = Bench::new();
    let to = bench.file(0, 5);
    fs::write(bench.dir.join("other"), vec![0; 500_000]).unwrap();
    let pipe = bench.service(1, "web", &to);
    let data = lines(0..200_000, 9);
    let mut written = bench.write(1, &pipe, data.as_bytes());
    assert!(written < 1_000_000, "{written} bytes were taken");
    assert_eq!(bench.write(1, &pipe, b"more"), 0);
    // Tried again by the clock: the disk is still full, then there is room, and then not again.
    while !bench.step() {}
    assert_eq!(bench.write(1, &pipe, b"more"), 0);
    fs::remove_file(bench.dir.join("other")).unwrap();
    while !bench.step() {}
    written += bench.write(1, &pipe, &data.as_bytes()[written..]);
    let log = bench.log("");
    assert!(log.len() > 900_000 && data.as_bytes().starts_with(&log));
    fs::remove_file(bench.dir.join("log")).unwrap();
    bench.router.reopen();
    while !bench.step() {}
    written += bench.write(1, &pipe, &data.as_bytes()[written..]);
    assert_eq!(written, data.len());
    assert!([log, bench.log("")].concat() == data.as_bytes(), "a line was lost");
}
