//! The decisions and the rows of a commit, for the log.

use std::ops::Deref;

use crate::plan::Plan;
use crate::prepared::Prepared;

use super::Commit;

impl<P: Deref<Target = Prepared>> Commit<P> {
    pub(super) fn log_decisions(&self) {
        log_plan(&self.load.plan);
        match self.gadget {
            Some(gadget) => log::debug!("the last munmap is issued in the vDSO, at {gadget:#x}"),
            None => log::debug!("one page of the loader stays"),
        }
        for row in self.table.rows() {
            log::trace!("{row}");
        }
        log::logger().flush();
    }
}

fn log_plan(plan: &Plan) {
    let load = |load: &crate::plan::Load| format!("bias {:#x}, entry {:#x}", load.bias, load.entry);
    log::debug!("program: {}", load(&plan.program));
    if let Some(interpreter) = &plan.interpreter {
        log::debug!("interpreter: {}", load(interpreter));
    }
    let (stack, sp) = (&plan.stack.range, plan.stack.frame.sp);
    log::debug!(
        "stack {:#x}..{:#x}, sp {sp:#x}, heap at {:#x}",
        stack.start,
        stack.end,
        plan.brk
    );
    if let Some(vdso) = &plan.vdso {
        log::debug!("vDSO from {:#x} to {:#x}", vdso.from().start, vdso.to);
    }
}
