//! The client against a stub that is a list of requests and answers.

use std::thread::{self, JoinHandle};

use super::*;

/// What a stub is asked when a connection begins, and what QEMU answers.
const BEGIN: [(&str, &str); 5] = [
    ("qSupported:vContSupported+;xmlRegisters=i386", "PacketSize=1000;qXfer:features:read+;vContSupported+"),
    ("qXfer:features:read:target.xml:0,f00", "l<target><xi:include href=\"core.xml\"/></target>"),
    (
        "qXfer:features:read:core.xml:0,f00",
        "l<reg name=\"rax\" bitsize=\"64\"/><reg name=\"eflags\" bitsize=\"32\"/><reg name=\"cr3\" bitsize=\"64\" regnum=\"29\"/>",
    ),
    ("qfThreadInfo", "m01,02"),
    ("qsThreadInfo", "l"),
];
/// What it is told by one byte.
const HALT: &str = "\u{3}";

/// The client, and the stub that answers these requests, and no others, in this order, and stays until it is joined. No
/// answer is given to a request whose answer is empty.
fn pair(script: &[(&'static str, &'static str)], patience: Duration) -> (Result<Gdb>, JoinHandle<UnixStream>) {
    let (client, mut server) = UnixStream::pair().expect("a pair");
    let script: Vec<_> = BEGIN.iter().chain(script).copied().collect();
    let stub = thread::spawn(move || {
        let mut heard = Vec::new();
        for (request, answer) in script {
            let expected = if request == HALT { vec![3] } else { frame(request) };
            while heard.len() < expected.len() {
                let mut byte = [0];
                server.read_exact(&mut byte).expect("the client is there");
                if byte[0] != b'+' || !heard.is_empty() {
                    heard.push(byte[0]);
                }
            }
            assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(&expected));
            heard.clear();
            let acknowledged = if request == HALT { vec![] } else { b"+".to_vec() };
            let answer = if answer.is_empty() { vec![] } else { frame(answer) };
            server.write_all(&[acknowledged, answer].concat()).expect("the client is there");
        }
        server
    });
    (Gdb::new(client, Instant::now() + patience), stub)
}

fn long(script: &[(&'static str, &'static str)]) -> (Gdb, JoinHandle<UnixStream>) {
    let (gdb, stub) = pair(script, Duration::from_secs(60));
    (gdb.expect("the stub answers"), stub)
}

#[test]
fn registers_and_memory_are_those_of_the_vcpu_that_is_asked_for() -> Result<()> {
    let (mut gdb, stub) = long(&[
        ("Hg02", "OK"),
        ("p1d", "0030020100000000"),
        ("p1", "46020000"),
        ("Pd", "x"),
        ("Hg01", "OK"),
        ("mffff888000000010,8", "0102030405060708"),
        ("P1d=0010000000000000", "OK"),
        ("M200000000,2:c3ff", "OK"),
        ("m0,8", "E14"),
    ]);
    assert_eq!(gdb.vcpus(), 2);
    assert_eq!(gdb.register(1, "cr3")?, 0x0102_3000);
    assert_eq!(gdb.register(1, "eflags")?, 0x246);
    assert!(gdb.ask_for_ok("Pd").is_err());
    assert_eq!(gdb.read_u64(0, 0xffff_8880_0000_0010)?, 0x0807_0605_0403_0201);
    gdb.set_register(0, "cr3", 0x1000)?;
    gdb.write(0, 0x2_0000_0000, &[0xc3, 0xff])?;
    let error = gdb.read(0, 0, 8).expect_err("nothing is mapped there");
    assert!(format!("{error:#}").contains("memory at 0x0: the gdb stub answered \"E14\""), "{error:#}");
    assert!(gdb.register(2, "cr3").is_err() && gdb.register(0, "cr9").is_err());
    stub.join().expect("all was asked");
    Ok(())
}

#[test]
fn a_vcpu_is_held_while_the_others_run() -> Result<()> {
    let (mut gdb, stub) = long(&[
        ("Z3,ffff888000000010,8", "OK"),
        ("Z0,401000,1", "E22"),
        ("vCont;c:01;c:02", "T05thread:02;rwatch:ffff888000000010;"),
        ("z3,ffff888000000010,8", "OK"),
        ("vCont;c:01", ""),
        (HALT, "T02thread:01;"),
        ("vCont;s:01", "T05thread:01;"),
        ("vCont;c:01", "T05thread:01;watch:ffff888000000020;"),
    ]);
    gdb.insert(Point::Read(0xffff_8880_0000_0010))?;
    assert!(gdb.insert(Point::Execute(0x40_1000)).is_err());
    gdb.resume(&[0, 1])?;
    let far = Instant::now() + Duration::from_secs(60);
    assert_eq!(gdb.wait(far)?, Some(Stop { cpu: 1, cause: Cause::Read(0xffff_8880_0000_0010) }));
    gdb.remove(Point::Read(0xffff_8880_0000_0010))?;
    gdb.resume(&[0])?;
    assert_eq!(gdb.wait(Instant::now())?, None);
    assert_eq!(gdb.halt()?, Stop { cpu: 0, cause: Cause::Asked });
    assert_eq!(gdb.step(0)?, Stop { cpu: 0, cause: Cause::Here });
    gdb.resume(&[0])?;
    assert_eq!(gdb.wait(far)?, Some(Stop { cpu: 0, cause: Cause::Written(0xffff_8880_0000_0020) }));
    stub.join().expect("all was asked");
    Ok(())
}

#[test]
fn a_qemu_that_ends_or_says_nothing_is_an_error() {
    let (mut gdb, stub) = long(&[("vCont;c:01;c:02", "W00"), ("g", "00"), ("vCont;c:01", "")]);
    gdb.resume(&[0, 1]).expect("it is there");
    let far = Instant::now() + Duration::from_secs(60);
    assert!(gdb.wait(far).expect_err("the machine has ended").is::<Gone>());
    gdb.selected = Some(0);
    assert!(gdb.general(0).expect_err("one byte").to_string().contains("1 bytes of registers"));
    gdb.resume(&[0]).expect("it is there");
    stub.join().expect("all was asked");
    assert!(gdb.wait(far).expect_err("it has gone").is::<Gone>());

    let silent = [("Hg01", "OK"), ("p1d", "")];
    let (gdb, stub) = pair(&silent, Duration::from_millis(300));
    let error = gdb.expect("it answers at first").register(0, "cr3").expect_err("no answer");
    assert!(error.to_string().contains("does not answer to p1d"), "{error:#}");
    stub.join().expect("all was asked");
}

#[test]
fn what_is_no_stop_is_an_error() {
    for answer in ["OK", "T05", "T05thread:09;", "T0bthread:01;", "S05", ""] {
        let error = Stop::read(answer, &["01".to_owned()]).expect_err(answer);
        assert!(error.to_string().contains("in place of a stop"), "{error}");
    }
}
