use super::{Named, read};

/// What is read with variables filled in, one on each line; then the mistakes.
fn shown(text: &str) -> String {
    listed(text, Named::Filled(&|name| (name == "OUT").then(|| "outside".to_owned())))
}

fn listed(text: &str, named: Named<'_>) -> String {
    let file = read(text, named);
    let mut shown = String::new();
    for line in file.lines {
        shown += &format!("{}={:?}", line.name, line.value);
        for name in line.unset.iter().chain(&line.required) {
            shown += &format!(" unset:{name}");
        }
        shown.push('\n');
    }
    for mistake in file.mistakes {
        shown += &format!("{}:{}: {}\n", mistake.line, mistake.column, mistake.message);
    }
    shown
}

#[test]
fn plain_lines_comments_and_export_are_understood() {
    let text = "\u{feff}# remark\n\nexport A=1 # one\nB = two words\t# why\r\nC=\nD=a#b\nE= # nothing\nexport F\nG: yaml\nH=$A-${NONE:-d} ${OUT} $NONE\nmy.dotted-name=1\n  I=end";
    insta::assert_snapshot!(shown(text), @r#"
    A=Some("1")
    B=Some("two words")
    C=Some("")
    D=Some("a#b")
    E=Some("")
    F=None
    G=Some("yaml")
    H=Some("1-d outside ") unset:NONE
    my.dotted-name=Some("1")
    I=Some("end")
    "#);
}

#[test]
fn an_escaped_quote_does_not_end_a_value() {
    let text = "MOTTO='it\\'s fine # really'\nTAIL=b\nJSON=\"{\\\"a\\\": \\\"b\\\"}\" # json\nPATH='C:\\\\'\nKEPT='a\\nb $A'\n";
    insta::assert_snapshot!(shown(text), @r#"
    MOTTO=Some("it's fine # really")
    TAIL=Some("b")
    JSON=Some("{\"a\": \"b\"}")
    PATH=Some("C:\\\\")
    KEPT=Some("a\\nb $A")
    "#);
}

#[test]
fn a_hash_is_a_comment_only_behind_a_blank() {
    let text = "COLOUR=#ff0000\nA=x#y z # w\nB=\"x # y\"# z\nC='x#' # y\nD=it's # z\n";
    insta::assert_snapshot!(shown(text), @r##"
    COLOUR=Some("#ff0000")
    A=Some("x#y z")
    B=Some("x # y")
    C=Some("x#")
    D=Some("it's")
    "##);
}

#[test]
fn quoted_values_span_lines_and_know_escapes() {
    let text =
        "KEY=\"-----BEGIN\r\nabc\n-----END\" # pem\nA=\"\\$x $KEY2 \\x\\n\"\nB='one\n$two'\nC=1";
    insta::assert_snapshot!(shown(text), @r#"
    KEY=Some("-----BEGIN\nabc\n-----END")
    A=Some("$x  \\x\n") unset:KEY2
    B=Some("one\n$two")
    C=Some("1")
    "#);
}

#[test]
fn nothing_is_expanded_where_the_caller_wants_it_as_written() {
    let text = "URL=postgres://u:p$w@h/d?x=1\nA=\"\\$d ${open\"\nmy api.KEY=1";
    insta::assert_snapshot!(listed(text, Named::AsWritten), @r#"
    URL=Some("postgres://u:p$w@h/d?x=1")
    A=Some("$d ${open")
    my api.KEY=Some("1")
    "#);
}

#[test]
fn all_mistakes_are_told_with_line_and_column_and_without_values() {
    let text = "A=1\nhunter2 hunter2\n=hunter3\nB='x' hunter4\nthe key=hunter5\nÄ=\"x\"hunter6\nC=${hunter7\nD='it'\\''s'\n  E=\"hunter8\nF=2\n";
    let told = shown(text);
    insta::assert_snapshot!(told, @r#"
    A=Some("1")
    C=Some("")
    F=Some("2")
    2:8: there is no `=`
    3:1: there is no name before the `=`
    4:7: there is something after the closing quote
    5:4: the name before the `=` holds a blank
    6:6: there is something after the closing quote
    7:3: `${…}` is not closed, or holds something else than a name and a default; in single quotes it stays as it is
    8:7: there is something after the closing quote
    9:5: the quote is never closed
    "#);
    assert!(!told.contains("hunter"));
}

#[test]
fn no_file_is_read_without_end() {
    let file = read(&"A=1\n".repeat(20_000), Named::AsWritten);
    assert_eq!((file.lines.len(), file.mistakes[0].line), (10_000, 10_001));
}
