//! Which system calls the programs of an instance may make.
//!
//! Everything that the kernel offered when this was written, but for what reaches the machine
//! itself or has no use in a container: the calls that Docker's default profile keeps from
//! containers as well, and with the same answer, `EPERM`. Calls that came later are answered with
//! `ENOSYS`, as by an older kernel: C libraries then fall back to what they used before, and what
//! nobody here has judged stays closed. `clone3` is answered so too, because it says behind a
//! pointer, where no filter can look, whether it makes namespaces.
//!
//! The filter is assembled here: what a builder of filters would save is a page, and those at hand
//! kill programs of another architecture and cannot compare numbers but for equality.

use nix::libc;

/// Bits of the number of a capability, as in [`crate::spec::bits`].
const SYS_NICE: u64 = 1 << 23;

/// The last call that was looked at: `removexattrat` of Linux 6.13. From 424 on, numbers are the
/// same on every architecture.
const NEWEST: u32 = 466;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// Programs of 32 bits on a machine of 64, and `int 0x80` in any program.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE_32: u32 = 0x4000_0003;

/// Calls that are kept from everybody: the number here, and the one of 32-bit x86.
const DENIED: &[(libc::c_long, u32)] = &[
    (libc::SYS_acct, 51),
    (libc::SYS_add_key, 286),
    (libc::SYS_bpf, 357),
    (libc::SYS_clock_settime, 264),
    (libc::SYS_delete_module, 129),
    (libc::SYS_fanotify_init, 338),
    (libc::SYS_finit_module, 350),
    (libc::SYS_fsconfig, 431),
    (libc::SYS_fsmount, 432),
    (libc::SYS_fsopen, 430),
    (libc::SYS_fspick, 433),
    (libc::SYS_init_module, 128),
    (libc::SYS_io_uring_enter, 426),
    (libc::SYS_io_uring_register, 427),
    (libc::SYS_io_uring_setup, 425),
    (libc::SYS_kcmp, 349),
    (libc::SYS_kexec_file_load, UNUSED),
    (libc::SYS_kexec_load, 283),
    (libc::SYS_keyctl, 288),
    (libc::SYS_lookup_dcookie, 253),
    (libc::SYS_migrate_pages, 294),
    (libc::SYS_mount, 21),
    (libc::SYS_mount_setattr, 442),
    (libc::SYS_move_mount, 429),
    (libc::SYS_move_pages, 317),
    (libc::SYS_open_by_handle_at, 342),
    (libc::SYS_open_tree, 428),
    (libc::SYS_perf_event_open, 336),
    (libc::SYS_pidfd_getfd, 438),
    (libc::SYS_pivot_root, 217),
    (libc::SYS_process_madvise, 440),
    (libc::SYS_quotactl, 131),
    (libc::SYS_quotactl_fd, 443),
    (libc::SYS_reboot, 88),
    (libc::SYS_request_key, 287),
    (libc::SYS_setdomainname, 121),
    (libc::SYS_sethostname, 74),
    (libc::SYS_setns, 346),
    (libc::SYS_settimeofday, 79),
    (libc::SYS_swapoff, 115),
    (libc::SYS_swapon, 87),
    (libc::SYS_syslog, 103),
    (libc::SYS_umount2, 52),
    (libc::SYS_unshare, 310),
    (libc::SYS_userfaultfd, 374),
    (libc::SYS_vhangup, 111),
    (LSM_GET_SELF_ATTR, 459),
    (LSM_SET_SELF_ATTR, 460),
    (LSM_LIST_MODULES, 461),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ioperm, 101),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_iopl, 110),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_sysfs, 135),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_uselib, 86),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ustat, 62),
];

/// Where memory lies: only for those who may set priorities.
const DENIED_WITHOUT_NICE: &[(libc::c_long, u32)] = &[
    (libc::SYS_get_mempolicy, 275),
    (libc::SYS_mbind, 274),
    (libc::SYS_set_mempolicy, 276),
    (SET_MEMPOLICY_HOME_NODE, 450),
];

/// Calls that only 32-bit x86 has: `umount`, `stime`, `vm86old`, `vm86`, `clock_settime64`.
#[cfg(target_arch = "x86_64")]
const DENIED_32: &[u32] = &[22, 25, 113, 166, 404];

/// No call has this number.
const UNUSED: u32 = u32::MAX;
const SET_MEMPOLICY_HOME_NODE: libc::c_long = 450;
const LSM_GET_SELF_ATTR: libc::c_long = 459;
const LSM_SET_SELF_ATTR: libc::c_long = 460;
const LSM_LIST_MODULES: libc::c_long = 461;

/// How one argument of a call decides about it.
enum Argument {
    /// It is refused with one of these.
    Not(&'static [u32]),
    /// It is refused with any other than these.
    Only(&'static [u32]),
    /// It is refused with any of these bits.
    Without(u32),
}

/// A call whose argument counts.
struct Judged {
    call: libc::c_long,
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "32-bit x86 is not there"))]
    call_32: u32,
    index: u32,
    argument: Argument,
}

const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u32;

const JUDGED: &[Judged] = &[
    Judged {
        call: libc::SYS_clone,
        call_32: 120,
        index: 0,
        argument: Argument::Without(NEW_NAMESPACES),
    },
    // The kernel's own cryptography, where holes were found; and virtual machines and their host,
    // which no network namespace keeps apart.
    Judged {
        call: libc::SYS_socket,
        call_32: 359,
        index: 0,
        argument: Argument::Not(&[libc::AF_ALG as u32, libc::AF_VSOCK as u32]),
    },
    // Linux, with the uname of 2.6 or not, of 32 bits or not; and the question.
    Judged {
        call: libc::SYS_personality,
        call_32: 136,
        index: 0,
        argument: Argument::Only(&[0, 0x8, 0x2_0000, 0x2_0008, u32::MAX]),
    },
    // Types into a terminal as if its user had.
    Judged {
        call: libc::SYS_ioctl,
        call_32: 54,
        index: 1,
        argument: Argument::Not(&[libc::TIOCSTI as u32]),
    },
];

/// The filter for programs with these capabilities.
pub(super) fn program(capabilities: u64) -> Vec<libc::sock_filter> {
    let rows = || {
        let denied = if capabilities & SYS_NICE == 0 { DENIED_WITHOUT_NICE } else { &[] };
        DENIED.iter().chain(denied)
    };
    let mut own = Assembly::default();
    own.calls(
        rows().map(|(call, _)| *call as u32),
        JUDGED.iter().map(|one| (one.call as u32, one.index, &one.argument)),
        libc::SYS_clone3 as u32,
    );
    let mut whole = Assembly::default();
    whole.load(offset_of_architecture());
    whole.skip_unless_equal(ARCHITECTURE, own.0.len());
    whole.0.extend(own.0);
    #[cfg(target_arch = "x86_64")]
    {
        let mut foreign = Assembly::default();
        foreign.calls(
            rows().map(|(_, call)| *call).chain(DENIED_32.iter().copied()),
            JUDGED.iter().map(|one| (one.call_32, one.index, &one.argument)),
            libc::SYS_clone3 as u32,
        );
        whole.skip_unless_equal(ARCHITECTURE_32, foreign.0.len());
        whole.0.extend(foreign.0);
    }
    whole.answer(error(libc::ENOSYS));
    whole.0
}

const fn offset_of_architecture() -> u32 {
    std::mem::offset_of!(libc::seccomp_data, arch) as u32
}

/// The low half of an argument: the calls above take integers of 32 bits.
const fn offset_of_argument(index: u32) -> u32 {
    std::mem::offset_of!(libc::seccomp_data, args) as u32 + 8 * index
}

const fn error(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number as u32
}

/// Instructions of the kernel's classic packet filter.
#[derive(Default)]
struct Assembly(Vec<libc::sock_filter>);

impl Assembly {
    /// Judges a call of one architecture, to the end.
    fn calls<'a>(
        &mut self,
        denied: impl Iterator<Item = u32>,
        judged: impl Iterator<Item = (u32, u32, &'a Argument)>,
        unseen: u32,
    ) {
        self.load(std::mem::offset_of!(libc::seccomp_data, nr) as u32);
        // Newer ones, and on x86_64 those of its 32-bit variant, which have a high bit.
        self.jump(libc::BPF_JGT, NEWEST, 0, 1);
        self.answer(error(libc::ENOSYS));
        self.jump(libc::BPF_JEQ, unseen, 0, 1);
        self.answer(error(libc::ENOSYS));
        for call in denied {
            self.jump(libc::BPF_JEQ, call, 0, 1);
            self.answer(error(libc::EPERM));
        }
        for (call, index, argument) in judged {
            let mut inner = Self::default();
            inner.load(offset_of_argument(index));
            inner.argument(argument);
            self.skip_unless_equal(call, inner.0.len());
            self.0.extend(inner.0);
        }
        self.answer(libc::SECCOMP_RET_ALLOW);
    }

    /// Judges the argument that is loaded, to the end.
    fn argument(&mut self, argument: &Argument) {
        let refusal = error(libc::EPERM);
        let (listed, else_) = match argument {
            Argument::Without(bits) => {
                self.jump(libc::BPF_JSET, *bits, 1, 0);
                return self.answers(libc::SECCOMP_RET_ALLOW, refusal);
            }
            Argument::Not(values) => (values, (libc::SECCOMP_RET_ALLOW, refusal)),
            Argument::Only(values) => (values, (refusal, libc::SECCOMP_RET_ALLOW)),
        };
        for (number, value) in listed.iter().enumerate() {
            // To the second of the two answers behind the list.
            let more = u8::try_from(listed.len() - number).unwrap_or(u8::MAX);
            self.jump(libc::BPF_JEQ, *value, more, 0);
        }
        self.answers(else_.0, else_.1);
    }

    fn answers(&mut self, first: u32, second: u32) {
        self.answer(first);
        self.answer(second);
    }

    fn load(&mut self, offset: u32) {
        self.put(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    }

    fn answer(&mut self, answer: u32) {
        self.put(libc::BPF_RET | libc::BPF_K, answer, 0, 0);
    }

    fn jump(&mut self, test: u32, value: u32, if_so: u8, if_not: u8) {
        self.put(libc::BPF_JMP | test | libc::BPF_K, value, if_so, if_not);
    }

    /// Conditional jumps are short, so that a long way is one of its own.
    fn skip_unless_equal(&mut self, value: u32, length: usize) {
        self.jump(libc::BPF_JEQ, value, 1, 0);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.put(libc::BPF_JMP | libc::BPF_JA, length, 0, 0);
    }

    fn put(&mut self, code: u32, k: u32, jt: u8, jf: u8) {
        let code = u16::try_from(code).unwrap_or(u16::MAX);
        self.0.push(libc::sock_filter { code, jt, jf, k });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: a small machine for the instructions that are used.
    fn verdict(architecture: u32, call: u32, arguments: [u32; 2]) -> u32 {
        let program = program(0);
        let (mut at, mut loaded) = (0, 0);
        loop {
            let libc::sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let code = u32::from(code);
            let is = |test| code == libc::BPF_JMP | test | libc::BPF_K;
            let holds = match code {
                _ if code == libc::BPF_RET | libc::BPF_K => return k,
                _ if code == libc::BPF_JMP | libc::BPF_JA => {
                    at += k as usize;
                    continue;
                }
                _ if is(libc::BPF_JEQ) => loaded == k,
                _ if is(libc::BPF_JGT) => loaded > k,
                _ if is(libc::BPF_JSET) => loaded & k != 0,
                _ => {
                    loaded = match k {
                        0 => call,
                        4 => architecture,
                        16 => arguments[0],
                        24 => arguments[1],
                        other => panic!("offset {other}"),
                    };
                    continue;
                }
            };
            at += usize::from(if holds { jt } else { jf });
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    #[test]
    fn what_every_program_does_is_allowed() {
        for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_futex, libc::SYS_ptrace] {
            assert_eq!(verdict(ARCHITECTURE, call as u32, [0, 0]), ALLOW, "{call}");
        }
        let thread = (libc::CLONE_VM | libc::CLONE_THREAD) as u32;
        assert_eq!(verdict(ARCHITECTURE, libc::SYS_clone as u32, [thread, 0]), ALLOW);
        assert_eq!(verdict(ARCHITECTURE, libc::SYS_socket as u32, [2, 1]), ALLOW);
        assert_eq!(verdict(ARCHITECTURE, libc::SYS_ioctl as u32, [0, 0x5401]), ALLOW);
    }

    #[test]
    fn what_reaches_the_machine_is_refused() {
        for (call, _) in DENIED.iter().chain(DENIED_WITHOUT_NICE) {
            assert_eq!(verdict(ARCHITECTURE, *call as u32, [0, 0]), error(libc::EPERM), "{call}");
        }
        for (call, arguments) in [
            (libc::SYS_clone, [libc::CLONE_NEWUSER as u32, 0]),
            (libc::SYS_socket, [libc::AF_ALG as u32, 0]),
            (libc::SYS_socket, [libc::AF_VSOCK as u32, 0]),
            (libc::SYS_personality, [0x40_0000, 0]),
            (libc::SYS_ioctl, [0, libc::TIOCSTI as u32]),
        ] {
            let answer = verdict(ARCHITECTURE, call as u32, arguments);
            assert_eq!(answer, error(libc::EPERM), "{call}");
        }
    }

    #[test]
    fn what_nobody_has_judged_is_as_on_an_older_kernel() {
        for call in [libc::SYS_clone3 as u32, NEWEST + 1, 0x4000_0000 + 1, u32::MAX] {
            assert_eq!(verdict(ARCHITECTURE, call, [0, 0]), error(libc::ENOSYS), "{call}");
        }
        assert_eq!(verdict(0x1234, libc::SYS_read as u32, [0, 0]), error(libc::ENOSYS));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn programs_of_32_bits_are_judged_by_their_own_numbers() {
        assert_eq!(verdict(ARCHITECTURE_32, 3, [0, 0]), ALLOW, "read");
        // `munmap`, which has the number of the one-machine-wide `mount` of nobody else.
        assert_eq!(verdict(ARCHITECTURE_32, 91, [0, 0]), ALLOW);
        for call in [21, 310, 166, 128] {
            assert_eq!(verdict(ARCHITECTURE_32, call, [0, 0]), error(libc::EPERM), "{call}");
        }
    }
}
