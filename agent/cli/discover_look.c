/* SPDX-License-Identifier: Apache-2.0 */
/* discover_look.c - listeners and the processes that hold them, from /proc: no privilege beyond reading it. */
#include "cli/discover.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"

#define LISTENERS_MAX  4096
#define NAMESPACES_MAX 256
#define TCP_LISTENS    10 /* TCP_LISTEN of net/tcp_states.h */

/* A word of the command line, without its folder, that begins so. What stands first counts. */
static const struct known {
	const char *word, *kind;
} known[] = {
	{ "vllm", "vLLM" },
	{ "sglang", "SGLang" },
	{ "llama-server", "llama.cpp" },
	{ "llama_cpp", "llama.cpp" },
	{ "llamafile", "llama.cpp" },
	{ "koboldcpp", "llama.cpp" },
	{ "ollama", "Ollama" },
	{ "tritonserver", "Triton" },
	{ "text-generation-", "TGI" },
	{ "lmdeploy", "LMDeploy" },
	{ "trtllm-serve", "TensorRT-LLM" },
	{ "mlc_llm", "MLC" },
	{ "aphrodite", "Aphrodite" },
	{ "local-ai", "LocalAI" },
	{ "xinference", "Xinference" },
	{ "litellm", "LiteLLM" },
};

/* Asking these for a model would only fill their logs. */
static const char *const never_http[] = {
	"sshd",    "postgres",   "mysqld", "mariadbd", "redis-server", "systemd-resolve", "rpcbind", "named",
	"dnsmasq", "containerd", "exim4",  "master",   "sluiced",      "memcached",       "slapd",
};

const char *discover_kind(struct slice command)
{
	const char *at = (const char *)command.at, *end = at + command.len;

	while (at < end) {
		const char *stop = memchr(at, 0, (size_t)(end - at)), *slash;
		size_t len = (size_t)((stop ? stop : end) - at);

		slash = memrchr(at, '/', len);
		if (slash) {
			len -= (size_t)(slash + 1 - at);
			at = slash + 1;
		}
		for (size_t i = 0; i < ARRAY_LEN(known); i++) {
			size_t n = strlen(known[i].word);

			if (len >= n && !memcmp(at, known[i].word, n))
				return known[i].kind;
		}
		at += len + 1;
	}
	return NULL;
}

struct view {
	struct listener *at;
	size_t count, room;
	ino_t ours;
	ino_t seen[NAMESPACES_MAX];
	size_t seen_count;
};

static int add(struct view *v, struct listener l)
{
	if (v->count == v->room) {
		size_t room = v->room ? 2 * v->room : 64;
		struct listener *more = realloc(v->at, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		v->at = more;
		v->room = room;
	}
	v->at[v->count++] = l;
	return 0;
}

static bool read_ip(const char *hex, struct in6_addr *to)
{
	uint32_t word[4] = { 0, 0, htonl(0xffff), 0 };

	if (strlen(hex) == 8)
		word[3] = (uint32_t)strtoul(hex, NULL, 16);
	else if (strlen(hex) == 32)
		for (int i = 0; i < 4; i++) {
			char part[9] = "";

			memcpy(part, hex + 8 * i, 8);
			word[i] = (uint32_t)strtoul(part, NULL, 16);
		}
	else
		return false;
	memcpy(to, word, sizeof(word));
	return true;
}

/* The listeners of the network namespace that process `who` is in. */
static int read_table(struct view *v, const char *who, const char *table, ino_t netns)
{
	char path[300], line[512], ip[33];
	FILE *f;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%s/net/%s", who, table);
	f = fopen(path, "re");
	while (f && !err && fgets(line, sizeof(line), f)) {
		struct listener l = { .netns = netns, .elsewhere = netns != v->ours };
		unsigned port, state;
		uint64_t inode;

		if (sscanf(line, "%*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*d %" SCNu64, ip, &port,
		           &state, &inode) != 4 ||
		    state != TCP_LISTENS || port > 65535 || !read_ip(ip, &l.ip))
			continue;
		l.port = (uint16_t)port;
		l.inode = (ino_t)inode;
		err = v->count < LISTENERS_MAX ? add(v, l) : -E2BIG;
	}
	if (f)
		fclose(f);
	return err;
}

/* Each namespace is read once, through the first process that is seen in it. */
static int read_namespace(struct view *v, const char *who)
{
	char path[300];
	struct stat st;
	int err;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", who);
	if (stat(path, &st))
		return 0; /* gone, or not ours to see */
	for (size_t i = 0; i < v->seen_count; i++)
		if (v->seen[i] == st.st_ino)
			return 0;
	if (v->seen_count == NAMESPACES_MAX)
		return 0;
	v->seen[v->seen_count++] = st.st_ino;
	err = read_table(v, who, "tcp", st.st_ino);
	return err ? err : read_table(v, who, "tcp6", st.st_ino);
}

static size_t read_small(const char *path, char *to, size_t room)
{
	owned(own_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, to, room - 1);

	n = n < 0 ? 0 : n;
	to[n] = '\0';
	return (size_t)n;
}

/* The names come from strangers. */
static void printable(char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			*text = '?';
}

/* The innermost unit of the last line of /proc/PID/cgroup, "0::PATH". */
static void unit_of(const char *pid, char *to, size_t room)
{
	char path[300], text[4096], *line, *part, *rest = NULL;

	snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
	read_small(path, text, sizeof(text));
	line = strstr(text, "0::");
	if (!line || (line != text && line[-1] != '\n'))
		return;
	line[strcspn(line, "\n")] = '\0';
	for (part = strtok_r(line + 3, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
		size_t len = strlen(part);

		if (len > 8 && !strcmp(part + len - 8, ".service"))
			snprintf(to, room, "%s", part);
	}
	printable(to);
}

static void describe(struct listener *l, const char *pid)
{
	char path[300], command[4096];
	size_t len;

	l->pid = (pid_t)strtol(pid, NULL, 10);
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	read_small(path, l->process, sizeof(l->process));
	l->process[strcspn(l->process, "\n")] = '\0';
	printable(l->process);
	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	len = read_small(path, command, sizeof(command));
	l->kind = discover_kind(slice_of(command, len));
	for (size_t i = 0; i < ARRAY_LEN(never_http); i++)
		l->never_http |= !strcmp(l->process, never_http[i]);
	unit_of(pid, l->unit, sizeof(l->unit));
}

static int by_inode(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static void look_at(struct view *v, const char *pid)
{
	char path[300];
	struct dirent *entry;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	while (d && (entry = readdir(d))) {
		struct listener key = {}, *l;
		char target[64];
		uint64_t inode;
		ssize_t n = readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) != 1)
			continue;
		key.inode = (ino_t)inode;
		l = bsearch(&key, v->at, v->count, sizeof(*l), by_inode);
		/* A server hands its listener to its workers: who says what it is, counts. */
		if (l && (!l->pid || !l->kind))
			describe(l, pid);
	}
	if (d)
		closedir(d);
}

static int each_process(struct view *v, int (*look)(struct view *, const char *))
{
	DIR *d = opendir("/proc");
	struct dirent *entry;
	int err = d ? 0 : -errno;

	while (d && !err && (entry = readdir(d)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			err = look(v, entry->d_name);
	if (d)
		closedir(d);
	return err;
}

static int look_one(struct view *v, const char *pid)
{
	look_at(v, pid);
	return 0;
}

int discover_listeners(struct listener **list, size_t *count)
{
	struct view v = {};
	struct stat st;
	int err = stat("/proc/self/ns/net", &st) ? -errno : 0;

	v.ours = st.st_ino;
	err = err ? err : read_namespace(&v, "self");
	err = err ? err : each_process(&v, read_namespace);
	if (!err && v.count)
		qsort(v.at, v.count, sizeof(*v.at), by_inode);
	err = err ? err : each_process(&v, look_one);
	if (err) {
		free(v.at);
		return err;
	}
	*list = v.at;
	*count = v.count;
	return 0;
}
