//! Values that are the same text on the command line, in JSON and in tables: absent ones, lists, names of policies.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

use arrayvec::ArrayString;
use gupsync::policy::{self, ForPolicy, Policy};

/// In JSON, a type is the text of its `Display`, read back by its `FromStr`.
macro_rules! as_text {
    ($name:ident $(<$t:ident>)?) => {
        impl$(<$t: ::core::fmt::Display>)? ::serde::Serialize for $name$(<$t>)? {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de $(, $t: ::core::str::FromStr<Err = ::alloc::string::String>)?> ::serde::Deserialize<'de>
            for $name$(<$t>)?
        {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::alloc::string::String as ::serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(<D::Error as ::serde::de::Error>::custom)
            }
        }
    };
}
pub(crate) use as_text;

/// A value, or the word that stands for its absence.
macro_rules! optional {
    ($($(#[$doc:meta])* $name:ident: $word:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<T>(pub Option<T>);

        impl<T: fmt::Display> fmt::Display for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match &self.0 {
                    Some(value) => value.fmt(f),
                    None => f.write_str($word),
                }
            }
        }

        impl<T: FromStr<Err = String>> FromStr for $name<T> {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                if text == $word { Ok($name(None)) } else { text.parse().map(|value| $name(Some(value))) }
            }
        }

        as_text!($name<T>);
    )+};
}

optional! {
    /// A value, or `off`.
    Maybe: "off";
    /// A value, or `none`.
    OrNone: "none";
    /// One value for all mms, or `mixed`.
    OrMixed: "mixed";
}

/// Once in so many times, counted and never timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every(pub u64);

impl Every {
    /// Whether it is time, the `count`th time.
    pub fn is_due(self, count: u64) -> bool {
        count.is_multiple_of(self.0)
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every:{}", self.0)
    }
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("every:").map(str::parse) {
            Some(Ok(every)) if every > 0 => Ok(Every(every)),
            _ => Err(format!("`{text}` is neither `off` nor `every:N` with N of at least 1")),
        }
    }
}

/// Names, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(T::to_string).collect::<Vec<_>>().join(","))
    }
}

impl<T: FromStr<Err = String>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(List)
    }
}

as_text!(List<T>);

/// [`Policy::TRUSTS_LOADED_MM`], of a policy.
struct TrustsLoadedMm;

impl ForPolicy for TrustsLoadedMm {
    type Output = bool;

    fn run<P: Policy>(self) -> bool {
        P::TRUSTS_LOADED_MM
    }
}

/// The name of a policy that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyName(&'static str);

impl PolicyName {
    /// That of `P`.
    pub const fn of<P: Policy>() -> Self {
        PolicyName(P::NAME)
    }

    /// All of them.
    pub fn all() -> List<PolicyName> {
        List(policy::NAMES.iter().map(|name| PolicyName(name)).collect())
    }

    /// All that keep the promise.
    pub fn safe() -> List<PolicyName> {
        List(policy::safe_names().map(PolicyName).collect())
    }

    /// Whether it is safe only if NMI handlers walk nothing but what is loaded.
    pub fn trusts_loaded_mm(self) -> bool {
        policy::with(&self, TrustsLoadedMm).expect("it is the name of a policy")
    }

    /// Whether it keeps the promise.
    pub fn is_safe(self) -> bool {
        Self::safe().contains(&self)
    }
}

impl Deref for PolicyName {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for PolicyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = policy::NAMES.iter().find(|name| **name == text).copied();
        name.map(PolicyName)
            .ok_or_else(|| format!("`{text}` is no policy; use some of: {}", policy::NAMES.join(", ")))
    }
}

as_text!(PolicyName);

/// What a row is of: a policy of this kernel, or a Linux that did the same operations in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The policy.
    Policy(PolicyName),
    /// Linux, by a name that begins with `linux-`.
    Linux(ArrayString<38>),
}

/// What stands before the version of a Linux.
const LINUX: &str = "linux-";

impl Subject {
    /// The Linux of a version, or as much of its name as there is room for.
    pub fn linux(version: &str) -> Self {
        let mut name = ArrayString::new();
        let room = name.capacity();
        for c in LINUX.chars().chain(version.chars().filter(char::is_ascii)).take(room) {
            name.push(c);
        }
        Subject::Linux(name)
    }

    /// Whether it is a Linux.
    pub fn is_linux(self) -> bool {
        matches!(self, Subject::Linux(_))
    }

    /// [`PolicyName::is_safe`]; Linux is to be.
    pub fn is_safe(self) -> bool {
        match self {
            Subject::Policy(policy) => policy.is_safe(),
            Subject::Linux(_) => true,
        }
    }

    /// [`PolicyName::trusts_loaded_mm`]; Linux sends a sync to every CPU.
    pub fn trusts_loaded_mm(self) -> bool {
        match self {
            Subject::Policy(policy) => policy.trusts_loaded_mm(),
            Subject::Linux(_) => false,
        }
    }
}

impl PartialEq<PolicyName> for Subject {
    fn eq(&self, policy: &PolicyName) -> bool {
        *self == Subject::Policy(*policy)
    }
}

impl From<PolicyName> for Subject {
    fn from(policy: PolicyName) -> Self {
        Subject::Policy(policy)
    }
}

impl Deref for Subject {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Subject::Policy(policy) => policy,
            Subject::Linux(name) => name,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(LINUX) {
            Some(version) => Ok(Subject::linux(version)),
            None => text.parse().map(Subject::Policy),
        }
    }
}

as_text!(Subject);
