/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead.h - finished segments searched by several threads while their reader takes what was found in order.
 *
 * This is the quick way through segments in which all is well. Whatever is not as it should be, in a segment or in its
 * index, ends the search of that segment with -EBADMSG, and its reader goes the careful way (segment_walk), which finds
 * the words for it: so no answer depends on this file, only how fast it comes.
 */
#pragma once

#include "record/search.h"

struct ahead;

/* Starts on the segments in the order given. Copies the list. -ENOMEM, -EAGAIN. */
int ahead_start(struct ahead **out, const struct search_plan *p, const struct segment_name *list, size_t n);
/* Waits for the threads. */
void ahead_stop(struct ahead **at);
/* Whether a segment is searched, and its number. */
bool ahead_has(const struct ahead *a, const struct segment_name *name, size_t *job);
/* The next record found in it: 1, *raw borrowed until the next call; 0: that was all; -EBADMSG: read it carefully, from
 * the start, and leave out what was given; backwards nothing was. -errno. Segments are asked in their order. */
int ahead_next(struct ahead *a, size_t job, struct slice *raw);
