/* SPDX-License-Identifier: Apache-2.0 */
/* change.c - sluicectl reload, sluicectl upgrade: the daemon goes over to what is there now, and no stream is cut. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

#define WAIT_S   150 /* what reading a policy and giving the record away may take */
#define PAUSE_MS 50

static int usage(FILE *to, const char *name, int status)
{
	if (!strcmp(name, "reload"))
		fputs("usage: sluicectl reload\n\n"
		      "Takes configuration and policy in again. A mistake, or a key that needs a restart, is named, "
		      "and\n"
		      "everything stays as it was. Returns when the new one serves; answers under way go on by the "
		      "old.\n",
		      to);
	else
		fputs("usage: sluicectl upgrade\n\n"
		      "Goes over to the sluiced that is installed now, configuration and policy too. Returns when it "
		      "serves;\nanswers under way go on in the old one. If the new one would not start, the old one "
		      "stays.\n",
		      to);
	return status;
}

static int refused(const char *why)
{
	fprintf(stderr, "sluicectl: refused, everything stays as it was:\n%s\n", why);
	return 1;
}

/* 0, 1 (refused), -1: not yet. */
static int look(uint64_t generation)
{
	ControlReply *reply = NULL;
	int status = -1, err = cli_status_quietly(&reply);

	if (err == -ECONNREFUSED || err == -ENOENT) {
		fputs("sluicectl: the daemon is gone\n", stderr);
		return 2;
	}
	/* Nobody answers while one takes over from the other. */
	if (err)
		return -1;
	if (reply->status && reply->status->ready && reply->status->generation >= generation)
		status = 0;
	else if (reply->status && reply->status->refused_generation == generation)
		status = refused(reply->status->refused_why);
	control_reply__free_unpacked(reply, NULL);
	return status;
}

static int wait_for(uint64_t generation)
{
	struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 }, begun, now;
	int status = -1;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	do {
		nanosleep(&pause, NULL);
		status = look(generation);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (status < 0 && now.tv_sec - begun.tv_sec < WAIT_S);
	if (status >= 0)
		return status;
	fprintf(stderr, "sluicectl: the daemon has not said within %d seconds what became of it\n", WAIT_S);
	return 2;
}

int change_main(int argc, char **argv)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	ChangeRequest body = CHANGE_REQUEST__INIT;
	ControlReply *reply = NULL;
	int status = 0;

	if (argc != 1) {
		bool help = argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"));

		return usage(help ? stdout : stderr, argv[0], help ? 0 : 2);
	}
	body.upgrade = !strcmp(argv[0], "upgrade");
	request.op_case = CONTROL_REQUEST__OP_CHANGE;
	request.change = &body;
	if (cli_ask(&reply, &request))
		return 2;
	if (reply->error[0])
		status = refused(reply->error);
	else
		status = wait_for(reply->generation);
	control_reply__free_unpacked(reply, NULL);
	return status;
}
