//! Finds the C library's own function of a name that this library also defines.
#![allow(unsafe_code, reason = "looks up a symbol")]

use std::ffi::{CStr, c_void};

/// The function's address; `None` if the C library has no such function.
pub(crate) fn next(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a terminated string.
    let address = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}
