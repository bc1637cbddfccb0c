//! [`Finding`]: a problem, its place in the file, and a hint.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::image::{Field, ReadAt};

use super::Check;

/// At most this many findings of one name are listed.
const LISTED: usize = 8;
/// At most this many bytes of a field are shown.
const SHOWN: u64 = 32;

/// One thing that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its name, and the facts that are the same for this name.
    #[serde(flatten)]
    pub check: &'static Check,
    /// The problem, with the numbers that prove it.
    pub message: String,
    /// The file, if it is not the checked file itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The bytes that cause the finding.
    pub bytes: Vec<Bytes>,
    /// A hint for the user; may be empty.
    pub hint: Cow<'static, str>,
}

/// Bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// The name of the field.
    pub field: &'static str,
    /// Where they are.
    #[serde(serialize_with = "as_hex")]
    pub offset: u64,
    /// The bytes, as far as they are in the file, in hexadecimal.
    pub bytes: String,
}

impl Serialize for Check {
    /// Writes the hint of the finding, not of its check.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("Check", 4)?;
        fields.serialize_field("name", self.name)?;
        fields.serialize_field("severity", &self.severity)?;
        fields.serialize_field("rule", self.rule)?;
        fields.serialize_field("kernel", self.kernel)?;
        fields.end()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn as_hex<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{number:#x}"))
}

impl Finding {
    /// A finding without bytes, with the hint of its check.
    pub fn new(check: &'static Check, message: impl Into<String>) -> Self {
        Self {
            check,
            message: message.into(),
            file: None,
            bytes: Vec::new(),
            hint: Cow::Borrowed(check.hint),
        }
    }

    /// Adds the bytes of these fields of `file`.
    #[must_use]
    pub fn with_bytes(mut self, file: &dyn ReadAt, fields: &[Field]) -> Self {
        let read = fields.iter().map(|field| Bytes::read(file, field));
        self.bytes.extend(read);
        self
    }
}

impl Bytes {
    fn read(file: &dyn ReadAt, field: &Field) -> Self {
        let mut bytes = vec![0; field.size.min(SHOWN) as usize];
        let count = file.read_at(&mut bytes, field.offset).unwrap_or(0);
        bytes.truncate(count);
        let words: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            field: field.name,
            offset: field.offset,
            bytes: words.join(" "),
        }
    }
}

/// Collects the findings about one file.
pub(super) struct Findings<'a> {
    file: &'a dyn ReadAt,
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(file: &'a dyn ReadAt) -> Self {
        Self {
            file,
            list: Vec::new(),
        }
    }

    /// Reads as many bytes of the file as fit, from `offset` on.
    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> usize {
        self.file.read_at(bytes, offset).unwrap_or(0)
    }

    pub(super) fn add(&mut self, check: &'static Check, message: String, fields: &[Field]) {
        let finding = Finding::new(check, message).with_bytes(self.file, fields);
        self.list.push(finding);
    }

    /// Adds a finding for each item; only the first ones are listed.
    pub(super) fn add_each<T>(
        &mut self,
        check: &'static Check,
        items: impl IntoIterator<Item = T>,
        describe: impl Fn(&T) -> (String, Vec<Field>),
    ) {
        let mut items = items.into_iter();
        for item in items.by_ref().take(LISTED) {
            let (message, fields) = describe(&item);
            self.add(check, message, &fields);
        }
        let more = items.count();
        if more > 0 {
            self.add(check, format!("and {more} more"), &[]);
        }
    }

    pub(super) fn into_list(self) -> Vec<Finding> {
        self.list
    }
}
