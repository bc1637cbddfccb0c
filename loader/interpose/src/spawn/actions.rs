//! posix_spawn's file actions: the objects, and their effects.
//!
//! The content of an object is private to glibc, and no function returns it. So this library defines all functions that fill
//! an object, and chooses the content itself: only the object's size is the C library's. An object that was filled by the C
//! library's own functions, as after dlmopen(3), is recognised because it has no mark.
#![allow(
    unsafe_code,
    reason = "symbols that replace those of the C library; objects in the caller's memory"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use nix::errno::Errno;

use super::perform::Action;
use crate::next::next;

const MARK: u64 = 0x7375_7070_6c61_6e74;

/// An object with our content. All zeros is an empty object, as in glibc.
#[repr(C)]
struct Object {
    /// A `Vec` behind a pointer, or null.
    list: *mut Vec<Action>,
    /// The content is ours if this is [`MARK`].
    mark: u64,
}

type Opaque = libc::posix_spawn_file_actions_t;

const _: () = assert!(size_of::<Object>() <= size_of::<Opaque>());
const _: () = assert!(align_of::<Object>() <= align_of::<Opaque>());

/// The actions of an object: `None` if it was not filled here.
///
/// # Safety
///
/// `object` is null or an initialised object.
pub(crate) unsafe fn list<'a>(object: *const Opaque) -> Option<&'a [Action]> {
    // SAFETY: the caller's promise.
    let Some(object) = (unsafe { object.cast::<Object>().as_ref() }) else {
        return Some(&[]);
    };
    match (object.mark, object.list.is_null()) {
        // SAFETY: a list that `add` made and `destroy` has not taken back.
        (MARK, false) => Some(unsafe { (*object.list).as_slice() }),
        (MARK, true) => Some(&[]),
        // SAFETY: an initialised object of any origin is at least as large as this.
        _ => unsafe { is_empty_elsewhere(object) }.then_some(&[]),
    }
}

/// glibc's objects begin with the number of actions that there is room for, and the number of actions (<spawn.h>).
///
/// # Safety
///
/// `object` is an initialised object.
unsafe fn is_empty_elsewhere(object: &Object) -> bool {
    let counts = std::ptr::from_ref(object).cast::<[c_int; 2]>();
    // SAFETY: within the object.
    unsafe { (*counts)[1] == 0 }
}

/// # Safety
///
/// `object` is an initialised object, which no other code uses now.
unsafe fn add(object: *mut Opaque, action: Result<Action, Errno>) -> c_int {
    let action = match action {
        Ok(action) => action,
        Err(errno) => return errno as c_int,
    };
    // SAFETY: the caller's promise.
    if unsafe { list(object) }.is_none() {
        // The content of that object cannot be read.
        return Errno::EINVAL as c_int;
    }
    // SAFETY: the caller's promise.
    let object = unsafe { &mut *object.cast::<Object>() };
    if object.mark != MARK || object.list.is_null() {
        *object = Object {
            list: Box::into_raw(Box::default()),
            mark: MARK,
        };
    }
    // SAFETY: just made, or made by an earlier call.
    unsafe { &mut *object.list }.push(action);
    0
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn_file_actions_init(object: *mut Opaque) -> c_int {
    // SAFETY: the caller's memory, with the size of an object.
    unsafe { object.write_bytes(0, 1) };
    0
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn_file_actions_destroy(object: *mut Opaque) -> c_int {
    // SAFETY: an initialised object.
    if unsafe { list(object) }.is_none() {
        // SAFETY: an object that the C library filled.
        return unsafe { destroy_by_c_library(object) };
    }
    // SAFETY: an initialised object.
    let ours = unsafe { &mut *object.cast::<Object>() };
    if ours.mark == MARK && !ours.list.is_null() {
        // SAFETY: made by `add`, and taken out of the object here.
        drop(unsafe { Box::from_raw(ours.list) });
    }
    ours.list = std::ptr::null_mut();
    0
}

/// # Safety
///
/// `object` was filled by the C library.
unsafe fn destroy_by_c_library(object: *mut Opaque) -> c_int {
    type Function = unsafe extern "C" fn(*mut Opaque) -> c_int;
    let Some(address) = next(c"posix_spawn_file_actions_destroy") else {
        return libc::ENOSYS;
    };
    // SAFETY: the C library's function of this name has this type.
    let function = unsafe { std::mem::transmute::<*mut c_void, Function>(address) };
    // SAFETY: the caller's promise.
    unsafe { function(object) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn_file_actions_addclose(object: *mut Opaque, fd: c_int) -> c_int {
    let action = valid(fd).map(|fd| Action::Close { fd });
    // SAFETY: an initialised object.
    unsafe { add(object, action) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn_file_actions_adddup2(
    object: *mut Opaque,
    from: c_int,
    to: c_int,
) -> c_int {
    let action = valid(from).and_then(|from| {
        Ok(Action::Duplicate {
            from,
            to: valid(to)?,
        })
    });
    // SAFETY: an initialised object.
    unsafe { add(object, action) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn_file_actions_addopen(
    object: *mut Opaque,
    fd: c_int,
    path: *const c_char,
    flags: c_int,
    mode: libc::mode_t,
) -> c_int {
    let action = valid(fd).map(|fd| Action::Open {
        fd,
        // SAFETY: the caller's string.
        path: unsafe { copied(path) },
        flags,
        mode,
    });
    // SAFETY: an initialised object.
    unsafe { add(object, action) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn_file_actions_addchdir_np(
    object: *mut Opaque,
    path: *const c_char,
) -> c_int {
    // SAFETY: the caller's string.
    let path = unsafe { copied(path) };
    // SAFETY: an initialised object.
    unsafe { add(object, Ok(Action::ChangeDirectory { path })) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn_file_actions_addfchdir_np(
    object: *mut Opaque,
    fd: c_int,
) -> c_int {
    // SAFETY: an initialised object.
    unsafe { add(object, Ok(Action::ChangeDirectoryTo { fd })) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn_file_actions_addclosefrom_np(
    object: *mut Opaque,
    from: c_int,
) -> c_int {
    let action = valid(from).map(|from| Action::CloseFrom { from });
    // SAFETY: an initialised object.
    unsafe { add(object, action) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn posix_spawn_file_actions_addtcsetpgrp_np(
    object: *mut Opaque,
    fd: c_int,
) -> c_int {
    let action = valid(fd).map(|fd| Action::Foreground { fd });
    // SAFETY: an initialised object.
    unsafe { add(object, action) }
}

/// # Safety
///
/// `string` is terminated.
unsafe fn copied(string: *const c_char) -> CString {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_owned()
}

/// Checks that a descriptor can have this number now (`__spawn_valid_fd`).
fn valid(fd: c_int) -> Result<c_int, Errno> {
    // SAFETY: takes no pointer.
    let limit = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    if fd < 0 || limit != -1 && i64::from(fd) >= limit {
        return Err(Errno::EBADF);
    }
    Ok(fd)
}
