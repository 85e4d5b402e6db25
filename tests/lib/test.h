/* SPDX-License-Identifier: Apache-2.0 */
/* test.h - Criterion with the three things it lacks here. */
#pragma once
#include <criterion/criterion.h>
#ifndef __has_feature
#define __has_feature(x) 0 /* gcc 12 */
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/lsan_interface.h>
#define leaked() __lsan_do_recoverable_leak_check()
#else
#define leaked() 0
#endif
/* A test that also fails when it leaks (Criterion's workers skip LSan's exit check). */
#define TEST(room, name, ...)                                                                                          \
	static void room##_##name(void);                                                                               \
	Test(room, name, ##__VA_ARGS__)                                                                                \
	{                                                                                                              \
		room##_##name();                                                                                       \
		cr_assert_eq(leaked(), 0, "leaked memory");                                                            \
	}                                                                                                              \
	static void room##_##name(void)
/* Runs the block once for each place the input can be cut in two. */
#define EACH_CUT(at, len) for (size_t at = 0; at <= (len); at++)
