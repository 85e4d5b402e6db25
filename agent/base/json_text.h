/* SPDX-License-Identifier: Apache-2.0 */
/* json_text.h - text as a string of JSON. Pure. */
#pragma once

#include "base/buf.h"

/* Adds `text` as a JSON string, quotes included. Controls are escaped, those of C1 too: terminals obey them; what is
 * not UTF-8 becomes U+FFFD. 0, or what buf_add() says; then some of it may have been added. */
int json_text(struct buf *b, struct slice text);
