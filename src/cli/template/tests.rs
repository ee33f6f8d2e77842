use super::*;
use crate::error::Error;
use serde_json::json;

/// As `inspect` has it, where it matters.
fn web() -> Value {
    json!({
        "Id": "6eccc8e5ac10b6d4ae4a3b9e3d3b2b7b",
        "Names": "web",
        "Name": "/web",
        "State": {"Pid": 7, "Running": true, "Error": "", "ExitCode": 0, "Status": "running"},
        "Args": ["a", "b c"],
        "Labels": {"x": "1", "a": "2"},
        "Config": {
            "Cmd": null, "Volumes": null, "Env": ["PATH=/bin", "A=b=c"], "Labels": {},
            "Image": "busybox:latest"
        },
        "HostConfig": {"PidsLimit": null, "RestartPolicy": {"Name": "no"}},
        "Mounts": [
            {"Type": "volume", "Name": "data", "Source": "/v/data", "Destination": "/data"},
            {"Type": "bind", "Source": "/srv", "Destination": "/srv"}
        ],
        "NetworkSettings": {
            "IPAddress": "10.88.0.2",
            "Ports": {
                "443/tcp": null,
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"},
                           {"HostIp": "::", "HostPort": "8080"}],
                "8787/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49153"}]
            },
            "Networks": {
                "back": {"IPAddress": "10.77.2.2", "Aliases": null},
                "front": {"IPAddress": "10.77.1.2", "Aliases": ["www"]}
            }
        },
        "Size": 12.5
    })
}

fn rendered(template: &str) -> Result<String> {
    Template::parse(template)?.render(&[web()])
}

fn check(cases: &[(&str, &str)]) {
    for (template, text) in cases {
        let shown = rendered(template).unwrap_or_else(|e| panic!("{template}: {e}"));
        assert_eq!(shown.strip_suffix('\n').unwrap(), *text, "{template}");
    }
}

fn refused(template: &str) -> Error {
    rendered(template).map(|text| panic!("{template} gave {text}")).unwrap_err()
}

#[test]
fn fields_come_out_as_from_go() {
    check(&[
        ("{{ .State.Pid }}/{{.State.Running}}", "7/true"),
        (r"{{.Names}}\t{{.Name}}\n", "web\t/web\n"),
        ("{{.Args}} {{.Labels}} {{.Size}}", "[a b c] map[a:2 x:1] 12.5"),
        ("{{.Config.Cmd}} {{.Config.Volumes}} {{.HostConfig.PidsLimit}}", "[] map[] <nil>"),
        ("{{.Labels.x}} {{.Labels.y}}", "1 <no value>"),
        ("{{json .Args}}{{json .Config.Cmd}}", "[\"a\",\"b c\"]null"),
        ("{{json .State.Pid}}", "7"),
        ("plain }} {", "plain }} {"),
        ("", ""),
    ]);
    assert_eq!(rendered("json").unwrap(), rendered("{{json .}}").unwrap());
}

#[test]
fn the_examples_of_the_documentation_of_2014_work() {
    check(&[
        ("{{.NetworkSettings.IPAddress}}", "10.88.0.2"),
        ("{{(index (index .NetworkSettings.Ports \"8787/tcp\") 0).HostPort}}", "49153"),
        (
            "{{range $p, $conf := .NetworkSettings.Ports}} {{$p}} -> {{with $conf}}{{(index . 0).HostPort}}{{end}} {{end}}",
            " 443/tcp ->   80/tcp -> 8080  8787/tcp -> 49153 ",
        ),
    ]);
}

/// From the manuals of Docker and Podman, and from what scripts have.
#[test]
fn expressions_of_today_work() {
    check(&[
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "10.77.2.210.77.1.2"),
        (
            "{{range $k, $v := .NetworkSettings.Networks}}{{printf \"%s=%s\\n\" $k $v.IPAddress}}{{end}}",
            "back=10.77.2.2\nfront=10.77.1.2\n",
        ),
        ("{{.NetworkSettings.Networks.front.IPAddress}}", "10.77.1.2"),
        ("{{(index .NetworkSettings.Networks \"front\").IPAddress}}", "10.77.1.2"),
        (
            "{{index .Labels \"x\"}}[{{index .Labels \"none\"}}]{{index .Config.Labels \"y\"}}",
            "1[]",
        ),
        (
            "{{range $p, $conf := .NetworkSettings.Ports}}{{if $conf}}{{$p}}:{{(index $conf 0).HostPort}} {{end}}{{end}}",
            "80/tcp:8080 8787/tcp:49153 ",
        ),
        ("{{with (index .NetworkSettings.Ports \"80/tcp\")}}{{(index . 1).HostIp}}{{end}}", "::"),
        ("{{if (index .NetworkSettings.Ports \"81/tcp\")}}yes{{else}}no{{end}}", "no"),
        ("{{json (index .NetworkSettings.Ports \"443/tcp\")}}", "null"),
        (
            "{{range .Mounts}}{{.Type}} {{if .Name}}{{.Name}}{{else}}{{.Source}}{{end}}\n{{end}}",
            "volume data\nbind /srv\n",
        ),
        ("{{range .Mounts}}{{if eq .Destination \"/data\"}}{{.Source}}{{end}}{{end}}", "/v/data"),
        ("{{len .Mounts}} {{len .Config.Cmd}} {{.Args | len}}", "2 0 2"),
        (
            "{{slice .Id 0 12}} {{truncate .Id 4}} {{.Id | printf \"%.6s\"}}",
            "6eccc8e5ac10 6ecc 6eccc8",
        ),
        (
            "{{join .Args \", \"}} {{.Name | upper}} {{title .Names}} {{lower \"A\"}}",
            "a, b c /WEB Web a",
        ),
        ("{{index (split .Config.Image \":\") 1}} {{split \"a,b\" \",\"}}", "latest [a b]"),
        ("{{range .Config.Env}}{{println .}}{{end}}", "PATH=/bin\nA=b=c\n"),
        ("[{{pad .Names 1 2}}]{{pad \"\" 1 2}}", "[ web  ]"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
        ("{{if eq .State.Status \"exited\" \"running\"}}up{{end}}", "up"),
        ("{{if and .State.Running (not .State.Error)}}fine{{end}}", "fine"),
        ("{{or .State.Error .Names}} {{and .State.Error (index .Args 9)}}", "web "),
        ("{{if gt .State.Pid 0}}a{{else if lt .State.Pid 0}}b{{else}}c{{end}}", "a"),
        ("{{if lt .State.Pid 0}}a{{else if eq .State.Pid 7}}b{{else}}c{{end}}", "b"),
        ("{{if ne .State.ExitCode 0}}a{{else if false}}b{{else}}c{{end}}", "c"),
        ("{{with .State.Error}}a{{else with .Names}}{{.}}{{else}}c{{end}}", "web"),
        ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
        ("{{range $i, $e := .Args}}{{if $i}}, {{end}}{{$e}}{{end}}", "a, b c"),
        ("{{range $e := .Args}}{{$e}}{{$.Names}}{{end}}", "awebb cweb"),
        ("{{$n := 0}}{{range .Args}}{{$n = len .}}{{end}}{{$n}}", "3"),
        ("{{range .Args}}{{if eq . \"b c\"}}{{continue}}{{end}}{{.}}{{end}}", "a"),
        ("{{range .Args}}{{.}}{{break}}{{end}}", "a"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("a  {{- .Names -}}  b {{/* nothing */}}c {{- /* here */ -}} d", "awebb cd"),
        ("{{.Names -}}\n", "web"),
        (
            "{{`raw\\n`}} {{'a'}} {{\"\\u00e9\\x41\"}} {{-3}} {{0x10}} {{1.5}}",
            "raw\\n 97 éA -3 16 1.5",
        ),
        ("{{print 1 2 \"a\" \"b\" 3}} {{print nil true}}", "1 2ab3 <nil> true"),
        ("{{json .Config.Labels}} {{json \"a<b\"}}", "{} \"a<b\""),
        ("{{(index .Mounts 0).Name}} {{(.State).Pid}}", "data 7"),
        ("{{len (split (join .Args \"-\") \"-\")}}", "2"),
    ]);
}

#[test]
fn printf_prints_as_gos() {
    check(&[
        (
            "{{printf \"%-6s|%6s|%05d|%+d|%x|%X|%o|%b|%c\" .Names .Names 7 7 255 255 8 5 65}}",
            "web   |   web|00007|+7|ff|FF|10|101|A",
        ),
        ("{{printf \"%q %v %t %T %%\" .Names .Args true 1}}", "\"web\" [a b c] true int %"),
        ("{{printf \"%.2f %6.1f %g\" .Size .Size .Size}}", "12.50   12.5 12.5"),
        ("{{printf \"%d\" .Names}} {{printf \"%s\" 5}}", "%!d(string=web) %!s(int=5)"),
        (
            "{{printf \"%s\"}} {{printf \"%d\" 1 2}}",
            "%!s(MISSING) %!d(EXTRA int=2)".replace("%!d(", "1%!(").as_str(),
        ),
        ("{{printf \"%s %q %v\" .Args .Args .Config.Cmd}}", "[a b c] [\"a\" \"b c\"] []"),
        ("{{printf \"%*d|%-4d|% d\" 4 7 7 7}}", "   7|7   | 7"),
        ("{{printf \"%6.3d|%05d|%x\" 5 -7 -255}}", "   005|-0007|-ff"),
        ("{{printf \"%x %#x\" \"hi\" 255}} {{printf \"100%\"}}", "6869 0xff 100%!(NOVERB)"),
    ]);
}

#[test]
fn nothing_and_table_alone_ask_for_the_form_without_a_template() {
    for text in [None, Some(""), Some("table")] {
        assert!(Template::wanted(text.map(String::from)).unwrap().is_none());
    }
    assert!(Template::wanted(Some("json".to_string())).unwrap().is_some());
}

#[test]
fn a_table_has_titles() {
    let text = rendered(r"table {{.Names}}\t{{.Id}}").unwrap();
    assert_eq!(text, "NAMES     ID\nweb       6eccc8e5ac10b6d4ae4a3b9e3d3b2b7b\n");
    let text = rendered(r"table {{upper .Names}}\t{{.State.Status}}\t{{truncate .Id 3}}").unwrap();
    assert_eq!(text, "NAMES     STATUS    ID\nWEB       running   6ec\n");
    let template = Template::parse(r"table {{.ID}}\t{{.Name}}").unwrap();
    let text = template.titled([("ID", "NETWORK ID")]).render(&[json!({"ID": 1, "Name": "x"})]);
    assert_eq!(text.unwrap(), "NETWORK ID   NAME\n1            x\n");
    assert_eq!(title_of("RunningFor"), "CREATED");
    assert_eq!(title_of("LocalVolumes"), "LOCAL VOLUMES");
}

#[test]
fn label_finds_one_by_its_key() {
    let labels = BTreeMap::from([("a.b".to_string(), "1,2".to_string())]);
    let of = |template: &str| {
        Template::parse(template)?.render_all(&[json!({"ID": "x"})], &|_| Some(&labels))
    };
    assert_eq!(of("{{.Label \"a.b\"}}[{{.Label \"c\"}}]").unwrap(), "1,2[]\n");
    assert_eq!(of("table {{.ID}}\\t{{.Label \"tier\"}}").unwrap(), "ID        TIER\nx         \n");
    assert!(of("{{.ID \"c\"}}").is_err());
}

#[test]
fn a_field_may_differ_in_case_alone_where_no_map_of_the_users_is_asked() {
    assert!(rendered("{{.ID}}{{.id}}").is_ok());
    assert!(rendered("{{.STATE.PID}}").is_ok());
    assert_eq!(rendered("{{.Labels.X}}").unwrap(), "<no value>\n");
}

#[test]
fn mistakes_are_named_as_by_go_with_a_cure() {
    // Docker 20.10 says the same of each of them, but for the names of its types.
    let at = "template parsing error: template: :1:";
    for (template, text, hint) in [
        ("{{.ID", " unclosed action", "close it with }}"),
        ("{{if .Names}}a", " unexpected EOF", "if, with and range go up to an {{end}}"),
        ("a{{end}}", " unexpected {{end}}", ""),
        ("{{else}}", " unexpected {{else}}", ""),
        ("{{if .Id}}{{else}}{{else}}{{end}}", " expected end; found {{else}}", ""),
        ("{{}}", " missing value for command", ""),
        ("{{if}}x{{end}}", " missing value for if", ""),
        ("{{ID}}", " function \"ID\" not defined", "a field has a dot before it: .ID"),
        ("{{jsn .}}", " function \"jsn\" not defined", "did you mean json?"),
        ("{{$x}}", " undefined variable \"$x\"", "give it a value first: {{$x := .Field}}"),
        ("{{with $x := 1}}{{end}}{{$x}}", " undefined variable \"$x\"", ""),
        ("{{(.Id}}", " unclosed left paren", ""),
        ("{{.Id)}}", " unexpected \")\" in command", ""),
        ("{{ /* a */}}", " unexpected \"/\" in command", ""),
        ("{{/* a */ }}", " comment ends before closing delimiter", ""),
        ("{{nil}}", " nil is not a command", ""),
        ("{{.Id | 1}}", " non executable command in pipeline stage 2", ""),
        ("{{.Id | }}", " missing command behind |", ""),
        ("{{\"a}}", " unterminated quoted string", ""),
        ("{{.Id # 1}}", " unexpected \"#\" in operand", ""),
        ("{{/* a }}", " unclosed comment", "end it with */}}"),
        ("{{break}}", " {{break}} outside {{range}}", ""),
        ("{{template \"x\"}}", " {{template}} is not for --format", ""),
        ("{{12ab}}", " bad number syntax: \"12ab\"", ""),
        (
            "{{.Nam}}",
            "2: executing \"\" at <.Nam>: map has no entry for key \"Nam\"",
            "did you mean Name?",
        ),
        (
            "{{.State.Pod}}",
            "8: executing \"\" at <.State.Pod>: map has no entry for key \"Pod\"",
            "did you mean Pid?",
        ),
        (
            "{{.State.Health.Status}}",
            "8: executing \"\" at <.State.Health.Status>: map has no entry for key \"Health\"",
            "ask first: {{with .Health}}...{{end}}",
        ),
        ("{{.Id.x}}", "5: executing \"\" at <.Id.x>: can't evaluate field x in type string", ""),
        (
            "{{index .Args 5}}",
            "2: executing \"\" at <index .Args 5>: error calling index: index out of range: 5",
            "",
        ),
        (
            "{{(index (index .NetworkSettings.Ports \"443/tcp\") 0).HostPort}}",
            "3: executing \"\" at <index (index .Networ...>: error calling index: index out of range: 0",
            "",
        ),
        ("{{len 3}}", "2: executing \"\" at <len 3>: error calling len: len of type int", ""),
        ("{{len}}", " wrong number of args for len: want 1 got 0", ""),
        (
            "{{.Id 3}}",
            "2: executing \"\" at <.Id>: Id has arguments but cannot be invoked as function",
            "",
        ),
        (
            "{{lt .Id 3}}",
            "2: executing \"\" at <lt .Id 3>: error calling lt: incompatible types for comparison",
            "",
        ),
        (
            "{{range .Id}}{{end}}",
            "8: executing \"\" at <.Id>: range can't iterate over 6eccc8e5ac10b6d4ae4a3b9e3d3b2b7b",
            "",
        ),
    ] {
        let error = refused(template);
        assert_eq!(error.to_string(), format!("{at}{text}"), "{template}");
        assert!(hint.is_empty() || error.hints().contains(&hint), "{:?}", error.hints());
    }
    let error = refused("a\nb {{\n.x.y}}").to_string();
    assert!(error.starts_with("template parsing error: template: :3:2: executing"), "{error}");
}

#[test]
fn every_template_ends() {
    let deep = "{{".to_string() + &"(".repeat(100_000);
    let blocks = "{{if 1}}".repeat(100_000);
    let elses = "{{if 0}}".to_string() + &"{{else if 0}}".repeat(100_000);
    for template in [&deep, &blocks, &elses] {
        assert!(refused(template).to_string().ends_with("too deep in each other"));
    }
    for template in [
        "{{range 1000000000}}{{range 1000000000}}x{{end}}{{end}}",
        "{{$x := \"xxxxxxxxxxxxxxxx\"}}{{range 64}}{{$x = printf \"%s%s\" $x $x}}{{end}}",
        "{{range 64}}{{range 64}}{{printf \"%60000d\" 1}}{{end}}{{end}}",
        "{{pad \"x\" 99999999999 0}}",
    ] {
        refused(template);
    }
}

#[test]
fn templates_of_the_corpus_are_parsed_or_told() {
    let words = [
        "{{",
        "}}",
        ".",
        "json",
        "table ",
        "\\t",
        " ",
        "-",
        "{{end}}",
        "{{if ",
        "{{range ",
        "with ",
        "else",
        "$x",
        " := ",
        " = ",
        "|",
        "(",
        ")",
        "\"%5.3d\"",
        "printf ",
        "index ",
        ".A",
        "0",
        "`",
        "/*",
        "*/",
        "{{-",
        "-}}",
        "slice ",
        "'a'",
        ", ",
        "len ",
        "eq ",
        "break",
        "nil",
        "é",
    ];
    crate::types::corpus::fuzz("template", &words, 10_000, |text| {
        let template = Template::parse(&String::from_utf8_lossy(text));
        let template = template.map_err(|e| e.to_string())?;
        let _ = template.render(&[json!({"ID": "x", "A": {"A": [1, null, "é"]}})]);
        Ok(())
    });
}
