//! The C library's own function of a name that this library defines too.
#![allow(unsafe_code, reason = "looks up a symbol")]

use std::ffi::{CStr, c_void};

/// Its address; `None` where the C library has none of this name.
pub(crate) fn next(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a terminated string.
    let address = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}
