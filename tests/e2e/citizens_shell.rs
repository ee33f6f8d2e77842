//! In scripts, a container is a command like any other: in pipelines, in the background, by the
//! hundred, with no one to talk to.

use crate::common::eventually;
use crate::test;

#[test]
fn three_hundred_at_once_each_have_their_own_output_and_code() {
    let t = test!(busybox);
    let one = r#"
        code=0
        out=$(docker run --rm --net=none busybox sh -c "echo out$1; echo err$1 >&2; exit $(($1 % 100))" 2>err$1) || code=$?
        echo "$1 $code $out $(cat err$1)"
    "#;
    let said = t.shell(&format!("seq 300 | xargs -P 25 -n 1 bash -c '{one}' bash | sort -n"));
    let all: Vec<String> = (1..=300).map(|n| format!("{n} {} out{n} err{n}", n % 100)).collect();
    assert_eq!(said, all.join("\n"));
    assert!(t.containers().is_empty());
}

#[test]
fn a_pipeline_of_containers_passes_bytes_on_and_ends() {
    let t = test!(busybox);
    let said = t.shell(
        "seq 100000 | docker run --rm -i busybox grep 7 | docker run --rm -i busybox wc -l
         docker run --rm -i busybox cat <<< word | tr a-z A-Z",
    );
    assert_eq!(said, "40951\nWORD");
}

#[test]
fn with_its_reader_a_program_ends_as_anywhere() {
    let t = test!(busybox);
    // The program would write for ever.
    let run = "set +o pipefail; docker run --rm busybox yes | head -n 1; echo ${PIPESTATUS[0]}";
    assert_eq!(t.shell(run), "y\n141");
    assert!(t.containers().is_empty());
    // One that is kept tells how it ended.
    t.shell("set +o pipefail; docker run --name kept busybox yes | head -n 1");
    assert_eq!(t.inspect("kept")["State"]["ExitCode"], 137);
    // One that handles the signal hears of it.
    let script = "trap \"exit 3\" PIPE; while echo x; do :; done";
    t.shell(&format!(
        "set +o pipefail; docker run --name asked busybox sh -c '{script}' | head -n 1"
    ));
    assert_eq!(t.says(["wait", "asked"]), "3");
    // What has a life of its own goes on: only the client ends.
    t.script("web", &[], "while echo x; do sleep 0.1; done");
    for command in ["attach web", "exec web yes"] {
        let line =
            format!("set +o pipefail; docker {command} | head -n 1; echo ${{PIPESTATUS[0]}}");
        assert!(t.shell(&line).ends_with("\n141"), "{command}");
    }
    let script = "until [ -e /end ]; do echo x; sleep 0.1; done";
    t.shell(&format!(
        "set +o pipefail
         docker run -sig-proxy=false --name own busybox sh -c '{script}' | head -n 1"
    ));
    assert_eq!(t.status("web"), "running");
    assert_eq!(t.status("own"), "running");
    t.coracle(["exec", "own", "touch", "/end"]).ok();
    assert_eq!(t.says(["wait", "own"]), "0");
}

#[test]
fn closed_descriptors_are_no_descriptors() {
    let t = test!(busybox);
    let said = t.shell(
        "docker run --rm busybox echo one <&-
         docker run --rm -i busybox cat <&- 
         docker run --rm busybox sh -c 'echo two; exit 0' <&- 2>&-
         docker run --rm busybox sh -c 'echo lost; exit 4' >&- || echo $?
         docker run --rm busybox sh -c 'echo lost; exit 5' <&- >&- 2>&- || echo $?
         docker run -d --name d busybox sleep 1000 <&- >&- 2>&-
         docker exec d echo three <&- 2>&-",
    );
    assert_eq!(said, "one\ntwo\n4\n5\nthree");
    assert_eq!(t.status("d"), "running");
}

#[test]
fn what_cannot_be_written_is_told_and_fails() {
    let t = test!(busybox);
    let full = "write standard output: no space left on device";
    for command in [&["ps"][..], &["inspect", "busybox"], &["run", "--rm", "busybox", "echo", "hi"]]
    {
        let code = if command[0] == "run" { 125 } else { 1 };
        t.coracle(command).by("exec \"$@\" >/dev/full").code(code).stderr_has(full).ok();
    }
    // It runs, and says so.
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"])
        .by("exec \"$@\" >/dev/full")
        .code(125)
        .stderr_has(full)
        .stderr_has("its container is there all the same: ")
        .ok();
}

#[test]
fn jobs_in_the_background_have_their_codes() {
    let t = test!(busybox);
    let said = t.shell(
        "docker run --rm busybox sh -c 'exit 7' & a=$!
         docker run --rm busybox true & b=$!
         docker run --rm --init busybox sh -c 'kill -9 $$' & c=$!
         wait $b; echo $?
         wait $a || echo $?
         wait $c || echo $?",
    );
    assert_eq!(said, "0\n7\n137");
}

#[test]
fn a_time_limit_ends_what_listens() {
    let t = test!(busybox);
    let script = "trap \"echo bye; exit 3\" TERM; sleep 1000 & wait";
    let said = t.shell(&format!(
        "timeout 1 docker run --rm busybox sh -c '{script}' || echo $?
         timeout --preserve-status 1 docker run --rm busybox sh -c '{script}' || echo $?
         timeout --preserve-status 1 docker run --rm --init busybox sleep 1000 || echo $?
         bash -c 'timeout -s KILL 1 docker run --rm --name left busybox sleep 1000; exit $?' 2>/dev/null || echo $?"
    ));
    assert_eq!(said, "bye\n124\nbye\n3\n143\n137");
    // A client that was killed told nobody.
    assert_eq!(t.status("left"), "running");
}

#[test]
fn who_hangs_up_takes_nothing_along_that_was_told_not_to_listen() {
    let t = test!(busybox);
    // The program is sent what the client hears; nohup has the client hear nothing.
    let script = "trap \"echo hung up; exit 9\" HUP; echo up; until [ -e /end ]; do sleep 0.1; done; echo end";
    t.shell(&format!(
        "mkfifo said; nohup docker run --name c busybox sh -c '{script}' >said 2>&1 & echo $! >pid
         exec 3<said; read line <&3; [ \"$line\" = up ]
         kill -HUP $(cat pid); docker exec c touch /end
         wait $(cat pid); [ $(cat <&3) = end ]"
    ));
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 0);
}

#[test]
fn a_job_in_the_background_of_a_script_does_not_hear_its_ctrl_c() {
    let t = test!(busybox);
    // A shell without job control has its background jobs ignore what a terminal sends to all.
    let script =
        "trap \"echo interrupted; exit 9\" INT; mkfifo /go; echo up; read x < /go; echo $x";
    t.shell(&format!(
        "mkfifo said; sh -c 'docker run --name c busybox sh -c \"$1\" >said & echo $! >pid; wait' sh '{script}' &
         exec 3<said; read line <&3; [ \"$line\" = up ]
         kill -INT $(cat pid); docker exec c sh -c 'echo end > /go'
         wait; [ $(cat <&3) = end ]"
    ));
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 0);
}

#[test]
fn a_supervisor_starts_and_stops_one_in_the_foreground() {
    let t = test!(busybox);
    let script = "trap \"echo bye; exit 3\" TERM; echo up; while :; do sleep 1000 & wait $!; done";
    t.shell(&format!("docker create --name svc busybox sh -c '{script}'"));
    for stop in ["docker stop -t 2 svc >/dev/null", "kill -TERM $!"] {
        let said = t.shell(&format!(
            "rm -f said; mkfifo said; docker start -a svc >said & exec 3<said; read line <&3
             {stop}; wait $! || echo $line $? $(cat <&3)"
        ));
        assert_eq!(said, "up 3 bye", "{stop}");
        assert_eq!(t.status("svc"), "exited");
    }
}

#[test]
fn a_job_of_cron_has_neither_terminal_nor_input_nor_environment() {
    let t = test!(busybox);
    let run = "env -i PATH=\"$PATH\" CORACLE_CONFIG=\"$CORACLE_CONFIG\" docker run --rm busybox sh -c 'cat; echo job; tty' </dev/null | cat";
    assert_eq!(t.shell(&format!("set +o pipefail; {run}")), "job\nnot a tty");
    eventually("nothing to be left", || t.containers().is_empty());
}
