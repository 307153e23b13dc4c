//! The words of a litmus test.

use anyhow::{Context, Result, ensure};

/// What is left of a text: names, numbers and marks; the last one first.
pub struct Tokens(Vec<String>);

impl Tokens {
    pub fn of(text: &str) -> Self {
        let mut found: Vec<String> = Vec::new();
        for line in without_comments(text).lines().map(|line| line.split("//").next().unwrap_or_default()) {
            let mut joins = false;
            for c in line.chars() {
                let is_name = c.is_alphanumeric() || c == '_';
                let last = found.last_mut();
                match last {
                    Some(last) if is_name && joins => last.push(c),
                    Some(last) if c == '=' && (*last == "=" || *last == "!") => last.push(c),
                    _ if !c.is_whitespace() => found.push(c.to_string()),
                    _ => {}
                }
                joins = is_name;
            }
        }
        found.reverse();
        Tokens(found)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn next(&mut self) -> Result<String> {
        self.0.pop().context("ends too early")
    }

    pub fn take_if(&mut self, wanted: &str) -> bool {
        let is_wanted = self.0.last().is_some_and(|token| token == wanted);
        if is_wanted {
            self.0.pop();
        }
        is_wanted
    }

    pub fn expect(&mut self, wanted: &str) -> Result<()> {
        let found = self.next()?;
        ensure!(found == wanted, "`{found}` where `{wanted}` was expected");
        Ok(())
    }

    pub fn number(&mut self) -> Result<i32> {
        let found = self.next()?;
        found.parse().with_context(|| format!("`{found}` is no number"))
    }

    pub fn arguments(&mut self) -> Result<Vec<String>> {
        let mut arguments = vec![String::new()];
        self.expect("(")?;
        while !self.take_if(")") {
            let token = self.next()?;
            match arguments.last_mut() {
                Some(last) if token != "," => *last += &token,
                _ => arguments.push(String::new()),
            }
        }
        Ok(arguments)
    }
}

/// Without `/* ... */`.
fn without_comments(code: &str) -> String {
    let mut parts = code.split("/*");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once("*/").map_or("", |(_, rest)| rest))
}
