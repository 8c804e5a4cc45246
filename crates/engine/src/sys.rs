//! The few system calls that the `nix` crate does not offer safely. All `unsafe` of Gable is here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal};
use nix::unistd::{ForkResult, Pid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Forks. Only for the shim's processes, which never have a second thread, so that the child may do
/// anything that the parent may.
pub(crate) fn fork() -> nix::Result<ForkResult> {
    debug_assert_eq!(threads(), 1, "only a process with one thread may fork");
    #[expect(unsafe_code, reason = "fork is unsafe where there are threads")]
    // SAFETY: the process has one thread; no lock can be held by another.
    unsafe {
        nix::unistd::fork()
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Ends a forked child at once, without running what the parent had registered for its own end.
pub(crate) fn exit_now(code: i32) -> ! {
    #[expect(unsafe_code, reason = "nothing safe ends a process without its exit handlers")]
    // SAFETY: `_exit` takes an integer and does not return.
    unsafe {
        libc::_exit(code)
    }
}

/// Takes over a descriptor that a system call has just handed out.
pub(crate) fn own(descriptor: RawFd) -> OwnedFd {
    #[expect(unsafe_code, reason = "the kernel hands out bare numbers")]
    // SAFETY: callers pass a descriptor that was created for them and that nobody else owns.
    unsafe {
        OwnedFd::from_raw_fd(descriptor)
    }
}

/// Lends a descriptor by number.
pub(crate) fn lend<'a>(descriptor: RawFd) -> BorrowedFd<'a> {
    #[expect(unsafe_code, reason = "numbers are what survives a fork")]
    // SAFETY: callers pass a descriptor that stays open while the process lives.
    unsafe {
        BorrowedFd::borrow_raw(descriptor)
    }
}

/// A descriptor that stands for a process and becomes readable when it ends.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    #[expect(unsafe_code, reason = "no crate in use wraps pidfd_open")]
    // SAFETY: two integers go in, a new descriptor or -1 comes out.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    descriptor_of(result)
}

fn descriptor_of(result: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(result) {
        Ok(descriptor) if descriptor >= 0 => Ok(own(descriptor)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to the process that a pidfd stands for.
pub(crate) fn pidfd_kill(pidfd: impl AsFd, signal: Signal) -> io::Result<()> {
    let descriptor = pidfd.as_fd().as_raw_fd();
    #[expect(unsafe_code, reason = "no crate in use wraps pidfd_send_signal")]
    // SAFETY: the descriptor is open; no signal information is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            descriptor,
            signal as libc::c_int,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a signal with a number to the process that a pidfd stands for.
pub(crate) fn pidfd_queue(pidfd: impl AsFd, signal: Signal, value: i32) -> io::Result<()> {
    /// The kernel's `siginfo_t` with its fields for `SI_QUEUE`.
    #[repr(C)]
    struct Queued {
        signal: i32,
        error: i32,
        code: i32,
        padding: i32,
        pid: i32,
        uid: u32,
        value: u64,
        rest: [u64; 12],
    }
    let queued = Queued {
        signal: signal as i32,
        error: 0,
        code: libc::SI_QUEUE,
        padding: 0,
        pid: 0,
        uid: 0,
        value: u64::from(value.cast_unsigned()),
        rest: [0; 12],
    };
    let descriptor = pidfd.as_fd().as_raw_fd();
    #[expect(unsafe_code, reason = "no crate in use wraps pidfd_send_signal")]
    // SAFETY: the descriptor is open, and the structure has the size that the kernel copies.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            descriptor,
            signal as libc::c_int,
            &raw const queued,
            0,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const _: () = assert!(size_of::<libc::siginfo_t>() == 128, "what `pidfd_queue` passes");

/// Makes a mount and everything below it read-only, without set-user-id programs and devices.
pub(crate) fn make_read_only(target: &Path) -> nix::Result<()> {
    let target = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(target.as_os_str()))
        .map_err(|_| Errno::EINVAL)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    #[expect(unsafe_code, reason = "no crate in use wraps mount_setattr")]
    // SAFETY: the text ends with NUL, and the structure lives through the call and has that size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Gives every signal its default action again, and blocks none: an ignored SIGPIPE, for one,
/// would be inherited by the user's program.
pub(crate) fn reset_signals() {
    for signal in Signal::iterator() {
        if matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            continue;
        }
        #[expect(unsafe_code, reason = "signal handlers are unsafe in general")]
        // SAFETY: the default action is no handler of ours. Some signals refuse; that is fine.
        let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
    }
    // Cannot fail: the set is valid.
    let _ = nix::sys::signal::SigSet::all().thread_unblock();
}

/// Makes the terminal on descriptor 0 the controlling one of this session.
pub(crate) fn take_terminal() -> nix::Result<()> {
    #[expect(unsafe_code, reason = "ioctl takes anything")]
    // SAFETY: TIOCSCTTY takes an integer.
    let result = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
    Errno::result(result).map(drop)
}

/// Gives up every capability but these for good: also what a program could gain by being executed.
pub(crate) fn limit_capabilities(kept: u64) -> nix::Result<()> {
    const LAST_POSSIBLE: libc::c_ulong = 63;
    for capability in (0..=LAST_POSSIBLE).filter(|number| kept >> number & 1 == 0) {
        #[expect(unsafe_code, reason = "no crate in use wraps PR_CAPBSET_DROP")]
        // SAFETY: integers only. Numbers that the kernel does not know are refused.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        if result < 0 && Errno::last() == Errno::EINVAL {
            break;
        }
    }
    Ok(())
}

/// Sets the permitted and effective sets, and empties the inheritable one, and with it the ambient.
pub(crate) fn hold_capabilities(mask: u64) -> nix::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let (low, high) = ((mask & 0xffff_ffff) as u32, (mask >> 32) as u32);
    let data: [u32; 6] = [low, low, 0, high, high, 0];
    #[expect(unsafe_code, reason = "no crate in use wraps capset")]
    // SAFETY: header and data have the layout of version 3: two words and two times three words.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Sets a limit of this process and of those that it becomes.
pub(crate) fn set_limit(resource: i64, soft: u64, hard: u64) -> nix::Result<()> {
    let limit: [u64; 2] = [soft, hard];
    let none = std::ptr::null_mut::<u64>();
    #[expect(unsafe_code, reason = "nix has this behind a feature that nothing else needs")]
    // SAFETY: the two words live through the call, which writes nothing; 0 is this process.
    let result = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), none) };
    Errno::result(result).map(drop)
}

/// Sends a signal by number: real-time ones have no name.
pub(crate) fn kill_number(pid: Pid, signal: i32) -> nix::Result<()> {
    #[expect(unsafe_code, reason = "nix knows no real-time signals")]
    // SAFETY: integers only.
    let result = unsafe { libc::kill(pid.as_raw(), signal) };
    Errno::result(result).map(drop)
}

/// Puts a filter of system calls in force, for this process and what it becomes, for good. Nothing
/// that it starts may gain rights, or the kernel refuses.
pub(crate) fn filter_calls(program: &[libc::sock_filter]) -> nix::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    #[expect(unsafe_code, reason = "no crate in use wraps seccomp")]
    // SAFETY: the kernel copies `length` instructions from a slice that lives through the call, and
    // checks them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            // What a program may do is limited, not what it may guess: its speed stays its own.
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    Errno::result(result).map(drop)
}

/// Waits until everything on the file system of this descriptor is on the disk.
pub(crate) fn sync_file_system(descriptor: impl AsFd) -> nix::Result<()> {
    #[expect(unsafe_code, reason = "no crate in use wraps syncfs")]
    // SAFETY: the descriptor is open.
    let result = unsafe { libc::syncfs(descriptor.as_fd().as_raw_fd()) };
    Errno::result(result).map(drop)
}

/// Closes a descriptor in a process that ends without returning to its owner.
pub(crate) fn close(descriptor: &OwnedFd) {
    #[expect(unsafe_code, reason = "the owner is never reached again")]
    // SAFETY: the caller never returns, so nobody uses or closes the descriptor after this.
    unsafe {
        libc::close(descriptor.as_raw_fd());
    }
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) {
    #[expect(unsafe_code, reason = "descriptors that nobody here opened have no owner")]
    // SAFETY: called once, before this process has opened any descriptor from `first` on itself.
    unsafe {
        libc::close_range(first, u32::MAX, 0);
    }
}

/// Limits of open files: `wanted`, or as much of it as this process may have.
pub(crate) fn limit_open_files(wanted: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[expect(unsafe_code, reason = "nix has this behind a feature that nothing else needs")]
    // SAFETY: the structure is ours and lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            let most = wanted.min(limit.rlim_max);
            let wanted = libc::rlimit { rlim_cur: most, rlim_max: most };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted);
        }
    }
}

/// Makes a descriptor one whose readability can be awaited.
pub(crate) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(unsafe_code, reason = "tokio cannot know that a descriptor stays the same one")]
    // SAFETY: an `OwnedFd` is one open descriptor, the same until it is dropped with the `AsyncFd`.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(watched?)
}
