//! The kernel's records of a program: its address ranges, auxiliary vector and executable.

use crate::table::{Table, call};

use super::{Places, Planned};

pub(super) fn set_layout(table: &mut Table, planned: Planned<'_>, places: &Places<'_>) {
    let Planned { host, stack, .. } = planned;
    if !places.set_mm_map {
        return;
    }
    const NO_EXE: u32 = u32::MAX;
    let auxv_size = stack.auxv_bytes().len() as u64;
    // The kernel has room for the vector that it has recorded for this process.
    let certain = auxv_size.min(host.auxv.size());
    let addresses = legal_layout(planned);
    let mut set = |auxv_size: u64, exe: u32, reason| {
        // struct prctl_mm_map: eleven addresses, the vector's, its size and the descriptor.
        let mut map = [0; 13];
        map[..11].copy_from_slice(&addresses);
        map[11] = stack.frame.auxv;
        map[12] = auxv_size | u64::from(exe) << 32;
        let size = size_of_val(&map) as u64;
        let data = table.words(map);
        let arguments = [
            libc::PR_SET_MM.into(),
            libc::PR_SET_MM_MAP.into(),
            data,
            size.into(),
            0.into(),
        ];
        table.may(call::PRCTL, &arguments, reason);
    };
    set(
        certain,
        NO_EXE,
        "/proc/self/stat and auxv: code, data, heap, stack, arguments",
    );
    // A single call for everything would set nothing if one part is refused.
    if places.set_exe {
        let reason = "/proc/self/exe names the new program";
        set(certain, places.program as u32, reason);
    }
    if auxv_size > certain {
        let reason = "entries that were added to the auxiliary vector";
        set(auxv_size, NO_EXE, reason);
    }
}

/// Whether the kernel accepts the addresses unchanged.
pub fn layout_is_legal(planned: Planned<'_>) -> bool {
    let plan = planned.plan;
    let bounds = &plan.bounds;
    let wanted = [
        bounds.start_code,
        bounds.end_code,
        bounds.start_data,
        bounds.end_data,
        plan.brk,
    ];
    legal_layout(planned)[..5] == wanted
}

/// The eleven addresses of `struct prctl_mm_map`, each moved to the nearest value that the kernel accepts: it refuses
/// all of them if one is not acceptable. Linux: `validate_prctl_map_addr` in kernel/sys.c.
fn legal_layout(planned: Planned<'_>) -> [u64; 11] {
    let Planned { host, plan, stack } = planned;
    let legal = |address: u64| address.clamp(host.lowest_hint, host.task_size - 1);
    let bounds = &plan.bounds;
    let end_code = legal(bounds.end_code).max(host.lowest_hint + 1);
    let start_code = legal(bounds.start_code).min(end_code - 1);
    let end_data = legal(bounds.end_data);
    let mut start_data = legal(bounds.start_data).min(end_data);
    if end_data - start_data > host.data_limit.current {
        start_data = end_data;
    }
    let brk = legal(plan.brk);
    let (arguments, environment) = (stack.frame.arguments(), stack.frame.environment());
    [
        start_code,
        end_code,
        start_data,
        end_data,
        brk,
        brk,
        stack.frame.sp,
        arguments.start,
        arguments.end,
        environment.start,
        environment.end,
    ]
}
