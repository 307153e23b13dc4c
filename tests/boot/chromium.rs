//! A browser without a window, spoken to by the DevTools protocol: JSON in both directions, each message ended by a zero byte,
//! on its file descriptors 3 and 4.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Its names.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// As root there is no sandbox; and nothing is to go by the network.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];
/// How long an answer may take where the machine is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page open.
pub struct Chromium {
    process: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    number: u64,
    session: Option<String>,
    /// What it has said by itself.
    pub heard: Vec<Value>,
    /// Its profile, which is new.
    _profile: TempDir,
}

/// Which browser there is, or how to get one.
pub fn find() -> Result<&'static str, String> {
    let is_there =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    NAMES.into_iter().find(is_there).ok_or_else(|| "no chromium; run: apt-get install chromium".to_owned())
}

impl Chromium {
    /// Starts it, with an empty page.
    pub fn start() -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
            .arg(find().map_err(anyhow::Error::msg)?)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let to = process.stdin.take().context("a pipe")?;
        let mut messages = BufReader::new(process.stdout.take().context("a pipe")?).split(0);
        let (tell, from) = mpsc::channel();
        // It ends with the browser.
        thread::spawn(move || {
            while let Some(Ok(message)) = messages.next() {
                let Ok(message) = serde_json::from_slice(&message) else { return };
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser =
            Chromium { process, to, from, number: 0, session: None, heard: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))?["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }))?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method of the page, or of the browser before there is one, and gives its result.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes())?;
        loop {
            let mut answer = self.hear()?;
            if answer["id"] == self.number {
                ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].take());
            }
            self.heard.push(answer);
        }
    }

    fn hear(&self) -> Result<Value> {
        self.from.recv_timeout(PATIENCE).context("the browser says nothing, or is gone")
    }

    /// Opens a file, and waits until it is loaded.
    pub fn open(&mut self, file: &Path) -> Result<()> {
        self.heard.clear();
        self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }))?;
        while !self.heard.iter().any(|said| said["method"] == "Page.loadEventFired") {
            let said = self.hear()?;
            self.heard.push(said);
        }
        Ok(())
    }

    /// What an expression of the page comes to, once it is settled.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", params)?;
        if !result["exceptionDetails"].is_null() {
            bail!("{expression}: {}", result["exceptionDetails"]);
        }
        Ok(result["result"]["value"].take())
    }

    /// Presses a key and lets it go.
    pub fn press(&mut self, key: &str, code: u64) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event)?;
        }
        Ok(())
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // If it is gone already there is nothing to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
