/*
 * text.h: what the generator writes into a message, so that a receiver can check that it is what was sent: the run, the
 * sending session, the recipient, the session's count of sends, and the time when it was due; then filler that depends
 * on these. All are ASCII letters that no JSON writer escapes. Pure.
 */
#ifndef CHITCHAT_BENCH_LOAD_TEXT_H
#define CHITCHAT_BENCH_LOAD_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#define LOAD_TEXT_BYTES_MIN 28u
#define LOAD_TEXT_BYTES_MAX 16384u
#define LOAD_KEY_CHARS 14u

struct load_text {
    uint32_t run;     /* 24 bits: the number of the run; entries with another one belong to other runs */
    uint32_t from;    /* 24 bits: the session */
    uint32_t to;      /* 24 bits: the user */
    uint32_t seq;     /* counts the session's sends */
    uint64_t sent_us; /* 48 bits: when it was due, since the run began */
};

#define LOAD_FILLER_STARTS 512u /* few, so that those bytes stay in the nearest cache */
struct load_filler {
    char bytes[LOAD_FILLER_STARTS + LOAD_TEXT_BYTES_MAX];
};

void load_filler_init(struct load_filler *filler);
/* Writes `bytes` (LOAD_TEXT_BYTES_MIN to LOAD_TEXT_BYTES_MAX) to out. */
void load_text_write(char *out, uint32_t bytes, const struct load_text *text, const struct load_filler *filler);
/* False if load_text_write has not written this. */
bool load_text_read(const char *in, uint32_t bytes, const struct load_filler *filler, struct load_text *text_r);
/* Writes the key of a send, unique in the run: LOAD_KEY_CHARS characters. */
void load_text_write_key(char *out, const struct load_text *text);
/* What an entry adds to the sum that two sides compare: a hash of sender, count and mid. */
uint64_t load_text_hash(uint32_t from, uint32_t seq, const char *mid, uint32_t mid_bytes);

#endif
