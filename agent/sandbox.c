/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.c - the worker gives up what it does not need. */
#include "sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

/* BPF_MAP_LOOKUP_ELEM; the header is capture's alone. */
#define MAP_LOOKUP 1

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

/* All that makes a namespace. */
#define CLONE_NEW                                                                                                      \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITING                                                                                                        \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |                   \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |               \
	 LANDLOCK_ACCESS_FS_TRUNCATE)

static int because(char *text, size_t len, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(text, len, format, args);
	va_end(args);
	return err;
}

/* ---- user and capabilities ---- */

static int drop_privileges(const struct sandbox *s, char *lacks, size_t len)
{
	int err;

	capng_clear(CAPNG_SELECT_ALL);
	if (!s->uid && setgroups(0, NULL))
		return because(lacks, len, -errno, "supplementary groups: %s", strerror(errno));
	if (s->uid)
		err = capng_change_id((int)s->uid, (int)s->gid,
		                      CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT);
	else
		err = capng_apply(CAPNG_SELECT_ALL);
	if (err)
		return because(lacks, len, -EPERM, "privileges cannot be given up (libcap-ng %d)", err);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return because(lacks, len, -errno, "no_new_privs: %s", strerror(errno));
	/* What is held back must not lie in a core on a disk, whatever the host does with cores. */
	if (setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }))
		return because(lacks, len, -errno, "no cores: %s", strerror(errno));
	/* Nobody else of that user may look into it; this also undoes what changing the user did to the next call. */
	if (!s->traced)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) ? -errno : 0;
}

/* ---- Landlock ---- */

static int allow_path(int ruleset, const struct sandbox_path *p, uint64_t handled)
{
	owned(own_close) int fd = open(p->path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .parent_fd = fd };
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* what is not there is not reached, either */
	if (fstat(fd, &st))
		return -errno;
	rule.allowed_access = READING | (p->writable ? WRITING : 0);
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
	rule.allowed_access &= handled;
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) ? -errno : 0;
}

static int restrict_files(const struct sandbox *s, char *lacks, size_t len)
{
	static const struct sandbox_path own[] = { { "/proc", false }, { "/sys", false } };
	struct landlock_ruleset_attr attr = { .handled_access_fs = (1ULL << 13) - 1 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	owned(own_close) int ruleset = -1;
	int err = 0;

	if (abi < 1) {
		because(lacks, len, 0, "Landlock: the worker's files are limited by its user alone");
		return 0;
	}
	attr.handled_access_fs |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
	attr.handled_access_fs |= abi >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0;
	attr.handled_access_fs |= abi >= 5 ? LANDLOCK_ACCESS_FS_IOCTL_DEV : 0;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (ruleset < 0)
		return because(lacks, len, -errno, "Landlock: %s", strerror(errno));
	for (size_t i = 0; i < s->path_count && !err; i++)
		if (s->paths[i].path) {
			err = allow_path(ruleset, &s->paths[i], attr.handled_access_fs);
			if (err)
				return because(lacks, len, err, "Landlock: %s: %s", s->paths[i].path, strerror(-err));
		}
	for (size_t i = 0; s->traced && i < ARRAY_LEN(own) && !err; i++)
		err = allow_path(ruleset, &own[i], attr.handled_access_fs);
	if (!err && syscall(SYS_landlock_restrict_self, ruleset, 0))
		err = -errno;
	return err ? because(lacks, len, err, "Landlock: %s", strerror(-err)) : 0;
}

/* ---- seccomp ---- */

/* Not in it, on purpose: execve, ptrace, process_vm_*, kill of others, mount, setuid and its kin, bpf but for reading
 * maps, perf_event_open, io_uring, keyctl, module loading, namespaces, raw and netlink sockets. */
static const int calls[] = {
	/* memory, threads, time */
	SCMP_SYS(brk),
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(membarrier),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_setscheduler), /* the sealer asks for less; for more it has no capability */
	SCMP_SYS(ioprio_set),
	SCMP_SYS(clock_adjtime), /* whether the clock is synchronised */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrusage),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(restart_syscall),
	/* signals */
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(signalfd4),
	/* descriptors */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwrite64),
	SCMP_SYS(pwritev),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(fcntl),
	SCMP_SYS(lseek),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(pipe2),
	SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	/* files */
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(fstatfs),
	SCMP_SYS(statfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(getdents64),
	SCMP_SYS(getcwd),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fadvise64),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(link),
	SCMP_SYS(linkat),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(rmdir),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(umask),
	SCMP_SYS(flock),
	SCMP_SYS(utimensat),
	/* sockets */
	SCMP_SYS(bind),
	SCMP_SYS(socketpair), /* between threads: the herald resolves names in one */
	SCMP_SYS(connect),
	SCMP_SYS(listen),
	SCMP_SYS(accept4),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(shutdown),
};

static const int sanitizer_calls[] = {
	SCMP_SYS(ptrace),          SCMP_SYS(clone),     SCMP_SYS(wait4),     SCMP_SYS(prctl),     SCMP_SYS(kill),
	SCMP_SYS(sched_getparam),  SCMP_SYS(getrlimit), SCMP_SYS(prlimit64), SCMP_SYS(ioctl),     SCMP_SYS(tgkill),
	SCMP_SYS(set_tid_address), SCMP_SYS(getdents),  SCMP_SYS(getpgrp),   SCMP_SYS(getresuid),
};

static int restrict_calls(const struct sandbox *s, char *lacks, size_t len)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
	int err = f ? 0 : -ENOMEM, self = (int)getpid();

	for (size_t i = 0; i < ARRAY_LEN(calls) && !err; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	for (size_t i = 0; s->traced && i < ARRAY_LEN(sanitizer_calls) && !err; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, sanitizer_calls[i], 0);
	for (size_t i = 0; i < ARRAY_LEN(families) && !err; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		                       SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	/* A map may be read: which service an address belongs to. Nothing is loaded, written or made. */
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(bpf), 1, SCMP_A0(SCMP_CMP_EQ, MAP_LOOKUP));
	/* abort() of a failed check, on itself alone. */
	if (!err && !s->traced)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
		                       SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)self));
	/* Threads, and no process or namespace. The flags of clone3 cannot be seen from here: the C library then takes
	 * clone. */
	if (!err && !s->traced)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		                       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEW | CLONE_THREAD, CLONE_THREAD));
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (!err)
		err = seccomp_load(f);
	if (f)
		seccomp_release(f);
	if (err == -EINVAL || err == -ENOSYS) {
		because(lacks + strlen(lacks), len - strlen(lacks), 0,
		        "%sseccomp: the worker's system calls are not limited", *lacks ? "; " : "");
		return 0;
	}
	return err ? because(lacks, len, err, "seccomp: %s", strerror(-err)) : 0;
}

int sandbox_enter(const struct sandbox *s, char *lacks, size_t len)
{
	int err;

	*lacks = '\0';
	err = drop_privileges(s, lacks, len);
	err = err ? err : restrict_files(s, lacks, len);
	return err ? err : restrict_calls(s, lacks, len);
}
