/*
 * since.h: a moment as people write it. Pure, but for the time zone; any thread.
 */
#ifndef CHITCHAT_CLI_SINCE_H
#define CHITCHAT_CLI_SINCE_H

#include <stdbool.h>
#include <stdint.h>

/* Reads a time ago (90s, 15m, 36h, 7d), a date or a date with a time (2026-11-29, 2026-11-29T18:30, a blank for the T,
 * seconds; local time, or UTC with a Z behind it), or a ts of at least 12 digits. *ts_r is in microseconds since the
 * Unix epoch. False: `text` is something else. */
bool since_parse(const char *text, uint64_t now_us, uint64_t *ts_r);

#endif
