/*
 * assert.h: checks that stay in release builds.
 *
 * ASSERT states what the programmer promises (arguments, states, ownership); a broken promise ends the
 * process at once, since going on could lose what was acknowledged. What comes from the wire, the disk or
 * the user is an error, never an ASSERT. Any thread.
 */
#ifndef CHITCHAT_BASE_ASSERT_H
#define CHITCHAT_BASE_ASSERT_H

_Noreturn void assert_failed(const char *condition, const char *file, int line);

#define ASSERT(condition) (__builtin_expect(!!(condition), 1) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))

#endif
