//! Files that describe a host: refused, or read, and then what is written of the host is read as the same host.

use arbitrary::Unstructured;
use supplant_model::arguments::Arguments;
use supplant_model::error::Subject;
use supplant_model::host::{Host, Randomness};
use supplant_model::image::{Image, Role};
use supplant_model::plan::{Choices, Input, Loadable, Plan};
use support::elf::Base;

use crate::setting;

/// Runs the target.
pub fn run(data: &[u8]) {
    let randomness = Randomness::from_seed(data.len() as u64);
    if let Ok(host) = Host::from_json(data, randomness) {
        check(&host);
    }
    let mut u = Unstructured::new(data);
    let Ok(file) = setting::host_file(&mut u) else {
        return;
    };
    if let Ok(host) = Host::from_json(file.to_string().as_bytes(), randomness) {
        check(&host);
        if let Ok(choices) = setting::choices(&mut u, &host) {
            plan(&host, &choices);
        }
    }
}

fn check(host: &Host) {
    let written = host.to_json();
    let again = Host::from_json(written.as_bytes(), host.randomness);
    let again = again.expect("it was just written");
    assert_eq!(format!("{again:#?}"), format!("{host:#?}"), "{written}");
    assert_eq!(again.to_json(), written);
}

/// The standard programs can be planned or are refused.
fn plan(host: &Host, choices: &Choices) {
    let mut arguments = Arguments {
        execfn: c"/p".to_owned(),
        argv: Vec::new(),
        envp: Vec::new(),
    };
    let space =
        supplant_model::arguments::ArgumentSpace::new(&mut arguments, host.argument_limits());
    let Ok(space) = space else { return };
    for base in [Base::Exec, Base::StaticPie] {
        let (mut elf, _) = base.files();
        elf.header.machine = host.machine.number();
        let bytes = elf.to_bytes();
        let image = Image::parse(&bytes[..], host.machine, Role::Program);
        let program = Loadable {
            image: image.expect("it is the standard program"),
            subject: Subject::Program,
            file_size: bytes.len() as u64,
            aligned_for_huge_pages: false,
        };
        let input = Input {
            program: &program,
            interpreter: None,
            arguments: &arguments,
            touched: space.touched(),
            secure_by_file: false,
        };
        if let Err(error) = Plan::new(host, input, choices) {
            assert!(!error.to_string().is_empty());
        }
    }
}
