/* SPDX-License-Identifier: Apache-2.0 */
#include "record/pile.h"

#include <errno.h>
#include <stdlib.h>

void pile_free(struct pile *p)
{
	free(p->data);
	free(p->ends);
	*p = (struct pile){ 0 };
}

int pile_add(struct pile *p, struct slice raw)
{
	if (p->n == p->ends_room) {
		size_t room = p->ends_room ? 2 * p->ends_room : 64, *ends = reallocarray(p->ends, room, sizeof(*ends));

		if (!ends)
			return -ENOMEM;
		p->ends = ends;
		p->ends_room = room;
	}
	if (p->room - p->len < raw.len) {
		size_t room = 2 * p->room + raw.len;
		uint8_t *data = realloc(p->data, room);

		if (!data)
			return -ENOMEM;
		p->data = data;
		p->room = room;
	}
	memcpy(p->data + p->len, raw.at, raw.len);
	p->len += raw.len;
	p->ends[p->n++] = p->len;
	return 0;
}

void pile_cut(struct pile *p, size_t n)
{
	size_t drop = p->n > n ? p->n - n : 0, bytes = drop ? p->ends[drop - 1] : 0;

	if (!drop)
		return;
	memmove(p->data, p->data + bytes, p->len - bytes);
	p->len -= bytes;
	p->n -= drop;
	for (size_t i = 0; i < p->n; i++)
		p->ends[i] = p->ends[i + drop] - bytes;
}

struct slice pile_take(struct pile *p)
{
	size_t from = --p->n ? p->ends[p->n - 1] : 0;

	return slice_of(p->data + from, p->ends[p->n] - from);
}
