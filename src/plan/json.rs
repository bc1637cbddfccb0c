//! A plan as one line of JSON; addresses are strings.

use serde_json::{Value, json};
use supplant_inspect::check::{Headers, Link};
use supplant_inspect::notation::notation;
use supplant_inspect::preview::{Preview, Rows};
use supplant_model::table::Policy;

use super::{Refusal, addresses, calls, files};

/// The version of this form.
const SCHEMA: u32 = 1;

pub(super) fn line(program: &str, chain: &[Link], planned: &Result<Preview, Refusal>) -> String {
    let mut value = match planned {
        Ok(preview) => planned_value(preview),
        Err(refusal) => refused_value(refusal),
    };
    value["schema"] = SCHEMA.into();
    value["program"] = program.into();
    value["chain"] = json!(chain);
    format!("{value}\n")
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

fn refused_value(refusal: &Refusal) -> Value {
    let files: Vec<_> = refusal
        .files
        .iter()
        .map(|(path, headers)| file(path, Some(headers)))
        .collect();
    let error = &refusal.error;
    let errno = nix::errno::Errno::from_raw(error.raw_os_error());
    json!({
        "outcome": if error.signal().is_some() { "killed" } else { "refused" },
        "reason": error.to_string(),
        "errno": error.signal().is_none().then(|| format!("{errno:?}")),
        "signal": error.signal(),
        "files": files,
    })
}

fn planned_value(preview: &Preview) -> Value {
    let files = std::iter::once(&preview.program).chain(&preview.interpreter);
    let files: Vec<_> = files
        .map(|elf| file(&elf.path, elf.headers.as_ref()))
        .collect();
    let addresses: Vec<_> = preview.chosen().iter().map(|choice| {
        json!({"name": choice.name, "address": hex(choice.address), "why": choice.why, "rule": choice.rule})
    }).collect();
    let mappings: Vec<_> = preview
        .mappings
        .iter()
        .map(|mapping| {
            json!({
                "start": hex(mapping.range.start),
                "end": hex(mapping.range.end),
                "permissions": addresses::letters(mapping),
                "offset": hex(mapping.offset),
                "name": String::from_utf8_lossy(&mapping.name),
            })
        })
        .collect();
    let stack: Vec<_> = preview.stack_items().iter().map(|item| {
        json!({"address": hex(item.address), "size": item.size, "name": item.name, "value": item.value})
    }).collect();
    let differences: Vec<_> = preview
        .differences
        .iter()
        .map(|difference| json!({"rule": difference.rule(), "text": difference.to_string()}))
        .collect();
    json!({
        "outcome": "starts",
        "files": files,
        "addresses": addresses,
        "mappings": mappings,
        "stack": stack,
        "calls": preview.handover.as_ref().ok().map(rows),
        "obstacle": preview.handover.as_ref().err().map(ToString::to_string),
        "differences": differences,
        "registers": {"sp": hex(preview.stack.frame.sp), "ip": hex(preview.plan.entry())},
    })
}

fn rows(rows: &Rows) -> Vec<Value> {
    let values = calls::all(rows).map(|row| {
        json!({
            "name": row.call.name,
            "call": notation(row, rows.table.bytes()),
            "reason": row.reason.to_string(),
            "may_fail": row.policy == Policy::MayFail,
        })
    });
    values.collect()
}

fn file(path: &str, headers: Option<&Headers>) -> Value {
    let Some(headers) = headers else {
        return json!({"path": path});
    };
    let rows: Vec<_> = files::rows(headers)
        .iter()
        .map(|row| {
            let [offset, vaddr, file_size, memory_size] = row.numbers.map(hex);
            json!({
                "index": row.index,
                "type": row.name,
                "offset": offset,
                "vaddr": vaddr,
                "file_size": file_size,
                "memory_size": memory_size,
                "flags": row.flags.replace(' ', ""),
                "align": hex(row.align),
                "read_by_execve": row.read,
            })
        })
        .collect();
    let header = &headers.header;
    json!({
        "path": path,
        "size": headers.size,
        "type": header.e_type,
        "machine": supplant_model::machine::name(header.e_machine),
        "entry": hex(header.e_entry),
        "program_headers": rows,
    })
}
