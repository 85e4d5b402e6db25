/* SPDX-License-Identifier: Apache-2.0 */
/* embed.h - files of the sources in the program, as they stand there. The object's rule in the Makefile names them. */
#pragma once

#define EMBED(name, file)                                                                                              \
	__asm__(".pushsection .rodata\n" #name ":\n.incbin \"" file "\"\n" #name "_end:\n.byte 0\n.popsection\n");     \
	extern const char name[], name##_end[]
