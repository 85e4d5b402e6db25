/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_test.c - what the worker cannot do: each attempt is made for real, from inside. Needs root. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/test.h"

static char folder[] = "/tmp/sluice-sandbox-XXXXXX";
static char inside[128], readable[128], outside[128];
static char wrong[4096];

#define NEED(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			snprintf(wrong + strlen(wrong), sizeof(wrong) - strlen(wrong), "%s (errno %s)\n", #condition,  \
			         strerrorname_np(errno));                                                              \
	} while (0)

/* The call fails, with EPERM or EACCES. */
#define REFUSED(call)                                                                                                  \
	do {                                                                                                           \
		errno = 0;                                                                                             \
		NEED((long)(call) < 0 && (errno == EPERM || errno == EACCES));                                         \
	} while (0)

static void put(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	cr_assert(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
	chmod(path, 0666);
}

static void make_ground(uid_t uid)
{
	static const char *const below[] = { "inside", "readable", "outside" };
	char *paths[] = { inside, readable, outside }, file[160];

	cr_assert(mkdtemp(folder));
	chmod(folder, 0755);
	for (int i = 0; i < 3; i++) {
		snprintf(paths[i], 128, "%s/%s", folder, below[i]);
		cr_assert_eq(mkdir(paths[i], 0777), 0);
		cr_assert_eq(chown(paths[i], uid, uid), 0);
		snprintf(file, sizeof(file), "%s/file", paths[i]);
		put(file);
	}
}

static int at(const char *dir, const char *name, int flags)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags | O_CLOEXEC, 0600);
}

static int bpf_call(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static void *a_thread(void *arg)
{
	return arg;
}

static void try_calls(uid_t uid)
{
	static const struct bpf_insn exit_0[] = { { .code = 0xb7 }, { .code = 0x95 } };
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		                .insns = (uint64_t)(uintptr_t)exit_0,
		                .insn_cnt = 2,
		                .license = (uint64_t)(uintptr_t) "GPL" };
	union bpf_attr map = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };
	union bpf_attr object = { .pathname = (uint64_t)(uintptr_t) "/sys/fs/bpf/sluice/map_dials" };
	union bpf_attr update = { .map_fd = 0 };
	char *const argv[] = { "/bin/true", NULL };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct iovec v = { wrong, 1 };
	pthread_t t;
	int fd;

	/* programs, other processes */
	REFUSED(execv("/bin/true", argv));
	REFUSED(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0));
	REFUSED(ptrace(PTRACE_ATTACH, getppid(), 0, 0));
	REFUSED(ptrace(PTRACE_TRACEME, 0, 0, 0));
	REFUSED(process_vm_readv(getppid(), &v, 1, &v, 1, 0));
	REFUSED(kill(getppid(), 0));
	REFUSED(syscall(SYS_fork));
	REFUSED(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	REFUSED(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	REFUSED(syscall(SYS_pidfd_open, getppid(), 0));
	/* the kernel */
	REFUSED(bpf_call(BPF_PROG_LOAD, &load));
	REFUSED(bpf_call(BPF_MAP_CREATE, &map));
	REFUSED(bpf_call(BPF_OBJ_GET, &object));
	REFUSED(bpf_call(BPF_MAP_UPDATE_ELEM, &update));
	REFUSED(bpf_call(BPF_MAP_DELETE_ELEM, &update));
	REFUSED(unshare(CLONE_NEWUSER));
	REFUSED(unshare(CLONE_NEWNET));
	REFUSED(setns(0, 0));
	REFUSED(mount("none", inside, "tmpfs", 0, NULL));
	REFUSED(syscall(SYS_io_uring_setup, 1, NULL));
	REFUSED(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	REFUSED(syscall(SYS_init_module, NULL, 0, ""));
	REFUSED(socket(AF_INET, SOCK_RAW, 1));
	REFUSED(socket(AF_PACKET, SOCK_RAW, 0));
	REFUSED(socket(AF_NETLINK, SOCK_RAW, 0));
	/* who we are */
	REFUSED(setuid(0));
	REFUSED(setgid(0));
	REFUSED(syscall(SYS_capset, NULL, NULL));
	NEED(getuid() == uid && geteuid() == uid);
	/* files */
	REFUSED(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	REFUSED(open("/", O_RDONLY | O_CLOEXEC));
	REFUSED(at(outside, "file", O_RDONLY));
	REFUSED(at(outside, "new", O_WRONLY | O_CREAT));
	REFUSED(at(readable, "file", O_WRONLY));
	REFUSED(at(readable, "new", O_WRONLY | O_CREAT));
	REFUSED(at(inside, "../outside/file", O_RDONLY));
	REFUSED(truncate("/etc/passwd", 0));
	REFUSED(syscall(SYS_symlink, "/etc/passwd", "x"));
	/* and what the work needs */
	fd = at(readable, "file", O_RDONLY);
	NEED(fd >= 0);
	fd = at(inside, "new", O_RDWR | O_CREAT);
	NEED(fd >= 0 && write(fd, "x", 1) == 1 && !fdatasync(fd) && !ftruncate(fd, 0));
	NEED(!fallocate(fd, 1, 0, 4096));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s/s", inside);
	NEED(fd >= 0 && !bind(fd, (struct sockaddr *)&un, sizeof(un)) && !listen(fd, 1) && !unlink(un.sun_path));
	NEED(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
	NEED(!pthread_create(&t, NULL, a_thread, NULL) && !pthread_join(t, NULL));
}

/* In a child: the rest of the test must be able to clean up. */
static void attempt(uid_t uid)
{
	int report[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t child;

	if (geteuid()) {
		puts("skip: not root");
		return;
	}
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) {
		puts("skip: no Landlock");
		return;
	}
	make_ground(uid);
	cr_assert_eq(pipe(report), 0);
	child = fork();
	if (!child) {
		struct sandbox_path paths[] = { { inside, true }, { readable, false } };
		struct sandbox s = { .uid = uid, .gid = uid, .paths = paths, .path_count = 2 };
		char lacks[256];

		if (sandbox_enter(&s, lacks, sizeof(lacks)) || *lacks)
			snprintf(wrong, sizeof(wrong), "sandbox: %s\n", lacks);
		else
			try_calls(uid);
		if (write(report[1], wrong, strlen(wrong)) < 0)
			_exit(2);
		_exit(0);
	}
	close(report[1]);
	while (len + 1 < sizeof(wrong) && (n = read(report[0], wrong + len, sizeof(wrong) - 1 - len)) > 0)
		len += (size_t)n;
	close(report[0]);
	waitpid(child, &status, 0);
	snprintf(inside, sizeof(inside), "rm -rf %s", folder);
	cr_expect_eq(system(inside), 0);
	cr_assert_str_empty(wrong);
	cr_assert(WIFEXITED(status) && !WEXITSTATUS(status), "status %x", status);
}

TEST(sandbox, a_user_of_its_own)
{
	attempt(65534);
}

/* Where there is no such user: root without a capability, which owns much, and reaches none of it. */
TEST(sandbox, root_without_capabilities)
{
	attempt(0);
}
