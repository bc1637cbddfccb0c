//! Searches the vDSO's code for the instructions of the last jump.

/// The address of a suitable `syscall` instruction in `code`, which starts at `base`. After that `syscall`, the code only
/// clears registers and then returns, and the cleared registers include all that a system call and its arguments leave
/// dirty. A munmap made there can remove the page that jumped to it.
///
/// Compilers emit such code with `-fzero-call-used-regs`, which Linux uses since 5.15. Nothing guarantees that it exists.
pub(crate) fn find_syscall_return(code: &[u8], base: u64) -> Option<u64> {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    let starts = (0..code.len()).filter(|&start| code[start..].starts_with(&SYSCALL));
    let mut usable = starts.filter(|&start| clears_and_returns(&code[start + SYSCALL.len()..]));
    usable.next().map(|start| base + start as u64)
}

/// Every system call writes `rcx` and `r11`; `rdi` and `rsi` hold munmap's arguments.
fn clears_and_returns(mut code: &[u8]) -> bool {
    const DIRTY: u16 = 1 << 1 | 1 << 6 | 1 << 7 | 1 << 11;
    let mut cleared = 0_u16;
    loop {
        match code {
            [0xc3, ..] => return cleared & DIRTY == DIRTY,
            [0x90, rest @ ..] => code = rest,
            [0x31 | 0x33, operands, rest @ ..] => match same_register(*operands, 0) {
                Some(register) => (cleared, code) = (cleared | 1 << register, rest),
                None => return false,
            },
            // REX with equal R and B: one of the upper or the lower eight registers, 32 or 64 bits wide.
            [
                rex @ (0x40 | 0x45 | 0x48 | 0x4d),
                0x31 | 0x33,
                operands,
                rest @ ..,
            ] => match same_register(*operands, (rex & 1) * 8) {
                Some(register) => (cleared, code) = (cleared | 1 << register, rest),
                None => return false,
            },
            _ => return false,
        }
    }
}

/// The register, if both operands are the same register; never the stack pointer.
fn same_register(operands: u8, high: u8) -> Option<u8> {
    const RSP: u8 = 4;
    let (kind, first, second) = (operands >> 6, operands >> 3 & 7, operands & 7);
    (kind == 3 && first == second && first + high != RSP).then_some(first + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_that_only_clears_registers_is_found() {
        // xor edx,edx; xor ecx,ecx; xor esi,esi; xor edi,edi; xor r11d,r11d; ret
        let tail = [
            0x31, 0xd2, 0x31, 0xc9, 0x31, 0xf6, 0x31, 0xff, 0x45, 0x31, 0xdb, 0xc3,
        ];
        let code = [&[0x90, 0x0f, 0x05][..], &tail].concat();
        assert_eq!(find_syscall_return(&code, 0x1000), Some(0x1001));
    }

    #[test]
    fn a_tail_that_leaves_a_register_dirty_or_does_more_is_not() {
        let keeps_r11 = [0x0f, 0x05, 0x31, 0xc9, 0x31, 0xf6, 0x31, 0xff, 0xc3];
        let pops = [
            0x0f, 0x05, 0x5b, 0x31, 0xc9, 0x31, 0xf6, 0x31, 0xff, 0x45, 0x31, 0xdb, 0xc3,
        ];
        let mixes = [0x0f, 0x05, 0x31, 0xc8, 0xc3];
        let clears_rsp = [0x0f, 0x05, 0x31, 0xe4, 0xc3];
        for code in [
            &keeps_r11[..],
            &pops,
            &mixes,
            &clears_rsp,
            &[0x0f, 0x05],
            &[],
        ] {
            assert_eq!(find_syscall_return(code, 0), None);
        }
    }
}
