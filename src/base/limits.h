/*
 * limits.h: the bounds that several parts share: those of the protocol and what follows from them. A bound of one
 * module alone is in that module's header; the defaults of the command line are in the options' table.
 *
 * Bytes and counts are whole numbers of their unit; a time ends in its unit.
 */
#ifndef CHITCHAT_BASE_LIMITS_H
#define CHITCHAT_BASE_LIMITS_H

#include <stdint.h>

/* The wire (PROTOCOL.md). */
#define LIMIT_USER_BYTES 128u
#define LIMIT_KEY_BYTES 64u
#define LIMIT_ID_BYTES 64u
#define LIMIT_TEXT_BYTES 16384u
#define LIMIT_FRAME_BYTES 131072u /* one client message, all fragments */
#define LIMIT_PAGE_BYTES 262144u  /* one history frame, payload */
#define LIMIT_PAGE_ENTRIES 1000u
#define LIMIT_PAGE_ENTRIES_DEFAULT 50u
#define LIMIT_REPLAY_MAX 10000u /* the largest `max` of a login */
#define LIMIT_WATCH_USERS 1000u /* of the list of a `watch` */
#define LIMIT_HTTP_HEAD_BYTES 8192u
#define LIMIT_JSON_DEPTH 16
#define LIMIT_TS_MAX ((UINT64_C(1) << 53) - 1)
#define LIMIT_MID_BYTES 15u   /* 120 bits: ts 53, shard 10, random 56, one spare */
#define LIMIT_MID_CHARS 20u   /* as base64url */
#define LIMIT_EPOCH_CHARS 32u /* hexadecimal */

/* A control character is escaped as \u00XX: six bytes for one. */
#define LIMIT_ESCAPED_BYTES(bytes) ((bytes)*6u)
/* {"op":"msg","ts":…,"prev":…,"mid":"…","from":"…","to":"…","key":"…","text":"…"} and the frame header. */
#define LIMIT_MSG_BYTES(text_bytes) (256u + 2 * LIMIT_USER_BYTES + LIMIT_ESCAPED_BYTES(LIMIT_KEY_BYTES + (text_bytes)))
_Static_assert(LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES) < LIMIT_PAGE_BYTES, "a page holds at least one message");

/* One record in memory and in the WAL: fixed fields, both names, key and text. */
#define LIMIT_RECORD_BODY_BYTES (2 * LIMIT_USER_BYTES + LIMIT_KEY_BYTES + LIMIT_TEXT_BYTES)
#define LIMIT_RECORD_BYTES (LIMIT_RECORD_BODY_BYTES + 128u)

/* Keys (PROTOCOL, send). */
#define LIMIT_KEYS 10000u
#define LIMIT_KEYS_US (UINT64_C(24) * 3600 * 1000000)

/* Shards: the mid has 10 bits for the shard. */
#define LIMIT_SHARDS 1024u

/* Connections. */
#define LIMIT_UNANSWERED 1024u /* requests of one connection at a time */

#endif
