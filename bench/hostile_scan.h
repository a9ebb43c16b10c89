/*
 * hostile_scan.h: what a server answers, counted and nothing more: the status of the upgrade, then one count for each
 * kind of frame. The bytes come in pieces of any size; nothing is allocated and no payload is kept but its beginning.
 * Pure. One thread for each scan.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_SCAN_H
#define CHITCHAT_BENCH_HOSTILE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enough of an error for its code. */
#define HOSTILE_KEPT_BYTES 96u

struct hostile_counts {
    uint64_t oks;
    uint64_t errors;  /* all of them */
    uint64_t refused; /* those of them with `busy` or `rate_limited` */
    uint64_t messages, pages, lives;
    uint64_t pongs, pings, closes;
};

struct hostile_scan {
    bool is_upgraded;
    uint16_t status;         /* of the HTTP answer; 0: none yet */
    uint16_t close_code;     /* of the last close frame; 0: none */
    uint32_t line_end_bytes; /* how much of the blank line that ends the head has been seen */
    uint32_t kept_bytes;     /* of the HTTP head, or of the frame with its header */
    uint64_t skip_bytes;     /* of a frame that has been counted */
    uint8_t kept[HOSTILE_KEPT_BYTES];
};

/* Of a new connection: all zeros are one too. */
void hostile_scan_init(struct hostile_scan *scan);
/* Takes what was read, borrowed, and adds to *counts what it completes; -EPROTO: no server sends this. */
int hostile_scan_take(struct hostile_scan *scan, const char *data, size_t bytes, struct hostile_counts *counts);
void hostile_counts_add(struct hostile_counts *into, const struct hostile_counts *from);
/* The answers to requests among them. */
uint64_t hostile_counts_replies(const struct hostile_counts *counts);

#endif
