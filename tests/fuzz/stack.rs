//! A new stack: what was encoded is decoded, and argument limits hold.

use arbitrary::{Result, Unstructured};
use supplant_model::arguments::{ArgumentSpace, Arguments, Limits};
use supplant_model::auxv::{AT_EXECFN, AT_NULL, AT_PLATFORM, AT_RANDOM, Auxv};
use supplant_model::page::PageSize;
use supplant_model::script::ScriptLine;
use supplant_model::stack::{DecodedStack, InitialStack, StackFrame};

use crate::program::value;
use crate::setting;

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(case) = Case::new(&mut u) else { return };
    case.is_decoded();
    case.changed_bytes_are_no_panic(u.take_rest());
    case.limits_hold();
}

struct Case {
    arguments: Arguments,
    auxv: Auxv,
    top: u64,
    gap: u64,
    random: [u8; 16],
    stack_limit: u64,
    has_argument: bool,
}

impl Case {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        let mut pairs = vec![(AT_EXECFN, 0), (AT_RANDOM, 0)];
        if u.arbitrary()? {
            pairs.push((AT_PLATFORM, 0));
        }
        for _ in 0..u.int_in_range(0..=24)? {
            let tag = u.int_in_range(1..=60)?;
            pairs.insert(u.choose_index(pairs.len())?, (tag, u.arbitrary()?));
        }
        pairs.retain(|&(tag, _)| tag != AT_NULL);
        Ok(Self {
            arguments: setting::arguments(u)?,
            auxv: Auxv::from_pairs(pairs),
            top: value(u)? & !0xfff,
            gap: u64::from(u.arbitrary::<u16>()?),
            random: u.arbitrary()?,
            stack_limit: value(u)?,
            has_argument: u.arbitrary()?,
        })
    }

    fn encoded(&self) -> Option<InitialStack> {
        let platform = b"x86_64\0";
        let size = platform.len() as u64;
        let frame = StackFrame::new(self.top, &self.arguments, self.gap, size, self.auxv.size())?;
        let (arguments, auxv) = (&self.arguments, &self.auxv);
        Some(InitialStack::new(
            frame,
            arguments,
            auxv,
            platform,
            self.random,
        ))
    }

    fn is_decoded(&self) {
        let Some(stack) = self.encoded() else { return };
        let bytes = stack.to_bytes();
        let frame = &stack.frame;
        assert_eq!(frame.sp % 16, 0);
        assert_eq!(frame.sp + bytes.len() as u64, self.top);
        assert_eq!(frame.auxv - frame.sp, self.pointers());
        let decoded = DecodedStack::new(frame.sp, &bytes).expect("it was just encoded");
        assert_eq!(decoded.arguments, self.arguments);
        assert_eq!(decoded.random, self.random);
        assert_eq!(decoded.auxv, Auxv::from_bytes(stack.auxv_bytes()));
        let tags = |auxv: &Auxv| auxv.pairs().iter().map(|pair| pair.0).collect::<Vec<_>>();
        assert_eq!(tags(&decoded.auxv), tags(&self.auxv));
        let has_platform = self.auxv.get(AT_PLATFORM).is_some();
        assert_eq!(decoded.platform.is_empty(), !has_platform);
    }

    fn pointers(&self) -> u64 {
        (self.arguments.argv.len() + self.arguments.envp.len() + 3) as u64 * 8
    }

    fn changed_bytes_are_no_panic(&self, changes: &[u8]) {
        let Some(stack) = self.encoded() else { return };
        let mut bytes = stack.to_bytes();
        for change in changes.chunks_exact(3) {
            let at = usize::from(change[0]) * 256 + usize::from(change[1]);
            let count = bytes.len();
            bytes[at % count] = change[2];
        }
        let _ = DecodedStack::new(stack.frame.sp, &bytes);
    }

    /// The room that is counted is at least the bytes of the strings, and a rewrite counts like the rewritten strings.
    fn limits_hold(&self) {
        let limits = Limits {
            stack: self.stack_limit,
            address_space: u64::MAX,
            page_size: PageSize::SMALLEST,
        };
        let mut arguments = self.arguments.clone();
        let Ok(mut space) = ArgumentSpace::new(&mut arguments, limits) else {
            return;
        };
        assert!(!arguments.argv.is_empty());
        assert!(space.touched() >= size(&arguments));
        let (lists, execfn) = (
            (&self.arguments.argv[..], &self.arguments.envp[..]),
            &arguments.execfn,
        );
        let copied = ArgumentSpace::copy(execfn.clone(), lists.0, lists.1, limits);
        assert_eq!(copied, Ok((arguments.clone(), space)));
        let line = ScriptLine {
            interpreter: self.arguments.execfn.clone(),
            argument: self.has_argument.then(|| self.arguments.execfn.clone()),
        };
        let mut argv = arguments.argv.clone();
        let count = argv.len();
        if space.rewrite(&mut argv, &line, c"script").is_ok() {
            assert_eq!(argv.len(), count + 1 + usize::from(self.has_argument));
            let rewritten = Arguments { argv, ..arguments };
            assert!(space.touched() >= size(&rewritten));
        }
    }
}

fn size(arguments: &Arguments) -> u64 {
    let lists = arguments.argv.iter().chain(&arguments.envp);
    let strings = lists.chain([&arguments.execfn]);
    strings
        .map(|string| string.as_bytes_with_nul().len() as u64)
        .sum()
}
