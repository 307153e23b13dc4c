//! Where a register is found: the numbers that the stub's target description gives.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// Names, with the number and the width in bytes of each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Registers(BTreeMap<String, (usize, usize)>);

/// The value of an attribute of a tag.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// A text without its comments.
fn without_comments(text: &str) -> String {
    let mut parts = text.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once("-->").map_or("", |(_, rest)| rest))
}

/// The tags with this name.
fn tags<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    let begin = format!("<{name} ");
    text.split('<').filter_map(move |part| {
        let tag = part.split('>').next()?;
        tag.starts_with(&begin[1..]).then_some(tag)
    })
}

impl Registers {
    /// The files that a target description includes.
    pub fn includes(description: &str) -> Vec<String> {
        let text = without_comments(description);
        tags(&text, "xi:include").filter_map(|tag| attribute(tag, "href").map(str::to_owned)).collect()
    }

    /// Adds those of a description: a register without a number has the next one.
    ///
    /// # Errors
    ///
    /// If a register has no name or no width.
    pub fn add(&mut self, description: &str) -> Result<()> {
        let text = without_comments(description);
        let mut next = self.0.values().map(|(number, _)| number + 1).max().unwrap_or(0);
        for tag in tags(&text, "reg") {
            let number = |name| attribute(tag, name).and_then(|value| value.parse::<usize>().ok());
            let name = attribute(tag, "name").context("a register of the target description has no name")?;
            let bits = number("bitsize").with_context(|| format!("register {name} has no size"))?;
            next = number("regnum").unwrap_or(next);
            self.0.insert(name.to_owned(), (next, bits.div_ceil(8)));
            next += 1;
        }
        Ok(())
    }

    /// The number and the width of a register.
    ///
    /// # Errors
    ///
    /// If there is none of this name.
    pub fn find(&self, name: &str) -> Result<(usize, usize)> {
        self.0.get(name).copied().with_context(|| format!("the gdb stub has no register {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_numbered_in_order_unless_they_say_otherwise() {
        let target = "<target><!-- <xi:include href=\"no.xml\"/> --><xi:include href=\"core.xml\"/></target>";
        assert_eq!(Registers::includes(target), ["core.xml"]);
        let mut registers = Registers::default();
        registers
            .add("<reg name=\"rax\" bitsize=\"64\"/>\n<!-- <reg name=\"no\"/> -->")
            .expect("a description");
        registers
            .add("<reg name=\"cr3\" bitsize=\"64\" regnum=\"29\"/><regx name=\"x\"/><reg name=\"k\" bitsize=\"1\"/>")
            .expect("a description");
        for (name, found) in [("rax", (0, 8)), ("cr3", (29, 8)), ("k", (30, 1))] {
            assert_eq!(registers.find(name).expect("it is there"), found);
        }
        assert_eq!(registers.find("no").expect_err("a comment").to_string(), "the gdb stub has no register no");
        assert!(registers.add("<reg name=\"x\"/>").is_err());
    }
}
