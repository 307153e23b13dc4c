//! Item 11, 14 and 15: what cannot be run is refused with exit status 2 and one line that names the flag and the
//! remedy, and nothing is written.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use crate::cli::{gupsync, host, said};
use crate::trial;

/// Bad input, what the line begins with after `error: `, and what it says to do.
const BAD: &[(&str, &str, &str)] = &[
    // Numbers beyond their bounds.
    ("compare --cpus 0", "invalid value '0' for '--cpus <N>'", "use a number from 1 to 8192"),
    ("compare --cpus 513", "--cpus 513", "the kernel runs 512 at most; use fewer, or --accel sim"),
    ("compare --accel sim --cpus 8193", "invalid value '8193' for '--cpus <N>'", "use a number from 1 to 8192"),
    ("compare --accel sim --trace /", "--trace /", "name a file in a folder that can be written"),
    ("run --accel sim --gdb", "--gdb", "no kernel runs under --accel sim; leave out one"),
    ("compare --cpus many", "invalid value 'many' for '--cpus <N>'", "use a number from 1 to 8192"),
    ("compare --asids 5000", "--asids 5000:", "use 0 to 4080"),
    ("compare --asids 100000000", "--asids 100000000:", "use 0 to 4080"),
    ("compare --invlpgb-max 65537", "--invlpgb-max 65537:", "use 0 to 65536"),
    ("compare --lazy 18446744073709551612", "--lazy 18446744073709551612:", "use 0 to 8192"),
    ("compare --stale 18446744073709551615", "--stale 18446744073709551615:", "use 0 to 8192"),
    ("compare --isolated 9223372036854775808", "--isolated 9223372036854775808:", "use 0 to 8192"),
    ("compare --switchers 9000", "--switchers 9000:", "use 0 to 8192"),
    ("compare --flushers 9000", "--flushers 9000:", "use 0 to 8192"),
    ("compare --preempted 9000", "--preempted 9000:", "use 0 to 8192"),
    ("compare --hold 9000", "--hold 9000:", "use 0 to 8192"),
    ("compare --lazy -1", "unexpected argument '-1' found", "see `--help`"),
    ("compare --lazy=-1", "invalid value '-1' for '--lazy <N>'", "use a number from 0 to 8192"),
    ("compare --ops 0", "--ops 0:", "use 1 to 1000000000"),
    ("compare --ops 18446744073709551615", "--ops 18446744073709551615:", "use 1 to 1000000000"),
    ("compare --ops 18446744073709551616", "invalid value", "use a number from 1 to 1000000000"),
    ("compare --threshold 0", "--threshold 0:", "use 1 to 8192"),
    (
        "compare --workload mixed --threshold 18446744073709551615",
        "--threshold 18446744073709551615:",
        "use 1 to 8192",
    ),
    ("compare --mm-cpus 0", "--mm-cpus 0:", "use 1 to 8192"),
    ("compare --tables 0", "--tables 0:", "use 1 to 1024"),
    ("compare --tables 1025", "--tables 1025:", "use 1 to 1024"),
    ("compare --workload unshare --tables 5", "--tables 5:", "use --tables 4"),
    ("compare --workload mixed --tables 5", "--tables 5:", "use --tables 4"),
    (
        "compare --exit on",
        "--exit on: an mm exits that has left shared tables",
        "use --workload unshare or --exit off",
    ),
    ("compare --workload mixed --exit on", "--exit on:", "use --workload unshare or --exit off"),
    (
        "compare --workload unshare --flush none --exit on",
        "--flush none:",
        "without exit, touch, remap and trim",
    ),
    ("compare --isolated-members 9000", "--isolated-members 9000:", "use 0 to 8192"),
    ("compare --isolated-members 3", "--isolated-members 3:", "use --mm-cpus 5 or more"),
    ("compare --hotplug 9000", "--hotplug 9000:", "use 0 to 8192"),
    ("compare --workload unshare --sharers 1", "--sharers 1:", "use 2 to 6"),
    ("compare --sharers 7", "--sharers 7:", "use 2 to 6"),
    ("compare --gather-tables 0", "--gather-tables 0:", "use 1 to 1000000000"),
    ("compare --trim every:0", "invalid value 'every:0' for '--trim", "`every:N` with N of at least 1"),
    ("compare --trim every:1000000001", "--trim every:1000000001:", "use 1 to 1000000000"),
    ("compare --timeout 18446744073709551615", "invalid value", "use a number from 1 to 604800"),
    ("compare --timeout 0", "invalid value '0' for '--timeout <S>'", "use a number from 1 to 604800"),
    ("compare --memory 32", "--memory 32:", "use --memory 76"),
    ("compare --memory 18446744073709551615", "invalid value", "use a number from 1 to 1048576"),
    ("stress --minutes 9999999999", "invalid value", "use a number from 0 to 527040"),
    (
        "stress --seed first",
        "invalid value 'first' for '--seed <S>'",
        "use a number from 0 to 18446744073709551615",
    ),
    ("prove --deep=0", "invalid value '0' for '--deep", "use a number from 1 to 86400"),
    ("compare --pages 65", "--pages 65:", "use 1 to 64"),
    // Numbers in forms that other programs take.
    ("compare --ops 1,000", "invalid value '1,000' for '--ops <N>'", "use a number from 1 to 1000000000"),
    ("compare --ops 1e6", "invalid value '1e6' for '--ops <N>'", "use a number from 1 to 1000000000"),
    (
        "compare --seed=0x10",
        "invalid value '0x10' for '--seed <N>'",
        "use a number from 0 to 18446744073709551615",
    ),
    ("compare --seed=-1", "invalid value '-1' for '--seed <N>'", "use a number from 0 to 18446744073709551615"),
    ("compare --timeout 5m", "invalid value '5m' for '--timeout <S>'", "use a number from 1 to 604800"),
    ("compare --memory 512M", "invalid value '512M' for '--memory <MiB>'", "use a number from 1 to 1048576"),
    ("compare --trim 5", "invalid value '5' for '--trim <off|every:N>'", "`every:N` with N of at least 1"),
    ("prove reuse --deep 5", "unexpected argument '5' found", "see `--help`"),
    ("prove --deep 5", "--deep 5: the seconds are a part of the flag", "use --deep=5"),
    // Said twice, or not at all.
    ("compare --cpus 4 --cpus 8", "the argument '--cpus <N>' cannot be used multiple times", "see `--help`"),
    (
        "compare --policy pending --policy rcu",
        "the argument '--policy <p,p,...>' cannot be used multiple times",
        "see `--help`",
    ),
    ("compare --invlpgb on --invlpgb off", "the argument '--invlpgb <off|on>' cannot be used", "see `--help`"),
    ("compare --json a --json b", "the argument '--json <FILE>' cannot be used", "see `--help`"),
    ("compare --workload all,unmap", "invalid value 'all,unmap' for '--workload", "name each once"),
    ("compare --cpus", "a value is required for '--cpus <N>'", "see `--help`"),
    ("compare --cpus=", "invalid value '' for '--cpus <N>'", "use a number from 1 to 8192"),
    ("compare --policy", "a value is required for '--policy <p,p,...>'", "possible values: never, "),
    ("compare --policy=", "invalid value '' for '--policy", "`` is no policy; use some of"),
    (
        "compare --policy pending,,rcu",
        "invalid value 'pending,,rcu' for '--policy",
        "`` is no policy; use some of",
    ),
    ("compare --workload=", "invalid value '' for '--workload", "`` is no workload; use one of"),
    ("compare --json=", "a value is required for '--json <FILE>'", "see `--help`"),
    ("compare --log=", "a value is required for '--log <FILE>'", "see `--help`"),
    ("compare --limine=", "invalid value '' for '--limine", "use auto, builtin, direct or the folder"),
    ("compare --ovmf=", "invalid value '' for '--ovmf", "name CODE or CODE,VARS"),
    ("compare --cpu-model=", "a value is required for '--cpu-model <MODEL>'", "see `--help`"),
    ("compare --qemu-arg=", "a value is required for '--qemu-arg <ARG>'", "see `--help`"),
    ("compare --wide=yes", "unexpected value 'yes' for '--wide' found", "see `--help`"),
    ("iso --out=", "a value is required for '--out <FILE>'", "see `--help`"),
    ("run --cmdline ops=", "--cmdline: ops: `` is not a number that fits", "a number"),
    // Settings that do not go together, or not with the machine.
    ("compare --workload all --cpus 4", "--workload mixed:", "give the machine --cpus 13"),
    ("compare --log same --json same", "--log: is the file of --json", "name another"),
    ("prove --list --table", "the argument '--list' cannot be used with '--table'", "see `--help`"),
    (
        "prove --properties --traces",
        "the argument '--properties' cannot be used with '--traces'",
        "see `--help`",
    ),
    ("compare --cpus 2 --mm-cpus 3", "--mm-cpus 3:", "give the machine --cpus 3"),
    (
        "compare --workload mixed --cpus 8",
        "--workload mixed: --workload mixed --threshold 3",
        "give the machine --cpus 13",
    ),
    ("compare --workload piggyback --mm-cpus 2", "--mm-cpus 2:", "use --mm-cpus 3 or more"),
    ("compare --preempted 1", "--preempted 1:", "--flush hypercall"),
    ("compare --preempted 4 --flush hypercall", "--preempted 4:", "use --mm-cpus 5 or more"),
    ("compare --pins every:0", "invalid value 'every:0' for '--pins", "`every:N` with N of at least 1"),
    ("compare --pins every:1000000001", "--pins every:1000000001:", "use 1 to 1000000000"),
    ("compare --workload unmap --pins every:4", "--pins every:4: nothing collapses", "use --workload collapse"),
    (
        "compare --workload mixed --operations unmap --pins every:4",
        "--pins every:4: nothing collapses",
        "add collapse to operations or use --pins off",
    ),
    ("compare --mm-cpus 1 --pins every:4", "--pins every:4:", "use --mm-cpus 2 or more"),
    ("compare --policy pending,broadcast,pending", "--policy pending,broadcast,pending:", "name each once"),
    ("compare --operations unmap,protect,unmap", "--operations unmap,protect,unmap:", "name each once"),
    ("compare --workload unmap,protect,unmap", "invalid value", "name each once"),
    ("compare --icount --accel tcg-multi", "--icount:", "leave out --accel tcg-multi"),
    ("compare --limine builtin --firmware bios", "--firmware bios:", "name a Limine folder by --limine"),
    ("compare --limine direct --firmware uefi", "--firmware uefi:", "leave out one of them"),
    ("iso --limine direct --out here.iso", "--limine direct:", "use auto, builtin or the folder"),
    ("compare --firmware bios --ovmf tools/gupsync", "invalid value", "name CODE or CODE,VARS"),
    // Names that there are not, some of them nearly.
    ("compare --policy brodcast", "invalid value", "`brodcast` is no policy; use some of: never, "),
    ("compare --policy Pending", "invalid value", "`Pending` is no policy; use some of: never, "),
    ("compare --accel tcg", "invalid value 'tcg' for '--accel", "; a similar value exists: 'tcg-multi'"),
    ("compare --polcy pending", "unexpected argument '--polcy' found; a similar", "exists: '--policy'"),
    ("compare --mm_cpus 4", "unexpected argument '--mm_cpus' found; a similar", "exists: '--mm-cpus'"),
    ("compare -cpus 4", "unexpected argument '-c' found", "see `--help`"),
    ("compare pending", "unexpected argument 'pending' found", "see `--help`"),
    ("compar", "unrecognized subcommand 'compar'; a similar", "exists: 'compare'"),
    ("doctor now", "unexpected argument 'now' found", "see `--help`"),
    ("prove xyzzy", "xyzzy: no model and no mutant has this in its name", "`prove --list` names the mutants"),
    (
        "compare --format yaml",
        "invalid value 'yaml' for '--format",
        "possible values: table, markdown, mail, csv",
    ),
    ("completions dosh", "invalid value 'dosh' for '<SHELL>'", "possible values: bash"),
    (
        "compare --format mail --wide",
        "--wide: a line of a mail has 72 columns",
        "leave out --wide or --format mail",
    ),
    ("compare --workload all --repeat 100", "--repeat 100: makes a command line of", "use --repeat 1"),
    ("compare --repeat 0", "invalid value '0' for '--repeat <R>'", "use a number from 1 to 100"),
    ("compare --keep=/proc/here", "--keep=/proc/here: cannot be made:", "name a folder that can be written"),
    ("run --gdb --dry-run", "the argument '--gdb' cannot be used with '--dry-run'", "see `--help`"),
    ("test --ktap --list", "the argument '--ktap' cannot be used with '--list'", "see `--help`"),
    ("man brodcast", "brodcast: there is no such command", "use one of compare, scale, diff"),
    ("completions", "the following required arguments were not provided: <SHELL>", "see `--help`"),
    ("test xyzzy::never", "xyzzy::never: no test has this in its name", "`tools/gupsync test --list`"),
    ("compare --policy broadcast,sometimes", "invalid value", "`sometimes` is no policy; use some of"),
    ("compare --workload expand", "invalid value", "`expand` is no workload; use one of"),
    ("compare --workload unmap,expand", "invalid value", "`expand` is no workload; use one of"),
    ("compare --operations unmap,", "invalid value", "`` is no operation; use one of"),
    ("compare --invlpgb maybe", "invalid value", "use one of: off, on"),
    (
        "compare --accel qemu",
        "invalid value 'qemu' for '--accel",
        "possible values: tcg-single, tcg-multi, kvm",
    ),
    ("compare --turbo", "unexpected argument '--turbo' found", "see `--help`"),
    ("explain", "unrecognized subcommand 'explain'", "see `--help`"),
    ("", "no command", "see `tools/gupsync --help`"),
    ("iso", "the following required arguments were not provided: --out <FILE>", "see `--help`"),
    ("run --cmdline turbo=on", "--cmdline: `turbo` is no key", "see `limine.conf`"),
    ("run --cmdline asids=5000", "--cmdline: asids=5000:", "use 0 to 4080"),
    // Places.
    ("compare --log /nonexistent/log", "--log /nonexistent/log: cannot be written", "name a file"),
    ("stress --log /", "--log /: cannot be written", "name a file"),
    ("stress --log -", "--log -: is no file", "use --verbose to see the lines"),
    ("compare --json .", "--json .: cannot be written: Is a directory", "name a file"),
    ("compare --json /proc/rows.json", "--json /proc/rows.json: cannot be written", "name a file"),
    ("compare --json /dev/null/rows.json", "--json /dev/null/rows.json: cannot be written", "name a file"),
    ("iso --out /", "--out /: cannot be written", "name another file"),
    (
        "compare --ovmf /nonexistent/CODE",
        "invalid value '/nonexistent/CODE' for '--ovmf",
        "name CODE or CODE,VARS",
    ),
    (
        "compare --json /nonexistent/rows.json",
        "--json /nonexistent/rows.json: cannot be written",
        "name a file",
    ),
    ("compare --json /", "--json /: cannot be written", "name a file"),
    (
        "diff /nonexistent /dev/null",
        "/nonexistent: cannot be read:",
        "name a file that `compare --json` has written",
    ),
    ("diff /dev/null /dev/null", "/dev/null: is no JSON:", "name a file that `compare --json` has written"),
    ("diff a.json", "the following required arguments were not provided: <NEW.json>", "see `--help`"),
    (
        "diff --tolerance ten a b",
        "invalid value 'ten' for '--tolerance <PERCENT>'",
        "use a number from 0 to 10000",
    ),
    (
        "iso --out /nonexistent/gupsync.iso",
        "--out /nonexistent/gupsync.iso: cannot be written",
        "name another file",
    ),
    (
        "compare --limine /nonexistent",
        "--limine /nonexistent: holds no limine",
        "name the folder of a Limine binary release",
    ),
];

pub fn trials() -> Vec<Trial> {
    vec![trial("cli::item_11_bad_input_is_refused_in_one_line_with_its_remedy", all)]
}

fn all() -> Result<()> {
    // The start script builds the host program, and hands it its arguments; once is enough.
    ensure!(gupsync().arg("--version").output()?.status.success());
    let host = host()?;
    let wrong: Vec<_> =
        BAD.iter().filter_map(|bad| refuses(&host, bad).err()).map(|error| format!("{error:#}")).collect();
    ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), BAD.len(), wrong.join("\n"));
    Ok(())
}

fn refuses(host: &Path, (arguments, begin, remedy): &(&str, &str, &str)) -> Result<()> {
    let (here, temporary) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let output = Command::new(host)
        .args(arguments.split_whitespace())
        .current_dir(here.path())
        .env("TMPDIR", temporary.path())
        .output()?;
    let said = said(&output);
    let is_said = said.starts_with(&format!("error: {begin}")) && said.contains(remedy);
    ensure!(is_said && said.lines().count() == 1, "`{arguments}` said: {said}");
    ensure!(output.status.code() == Some(2), "`{arguments}`: {}", output.status);
    ensure!(output.stdout.is_empty(), "`{arguments}` printed something");
    for folder in [here, temporary] {
        ensure!(folder.path().read_dir()?.next().is_none(), "`{arguments}` wrote something");
    }
    Ok(())
}
