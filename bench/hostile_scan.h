/*
 * hostile_scan.h: counts what a server answers: the status of the upgrade, then the frames of each kind. The bytes come
 * in pieces of any size. Nothing is allocated; of a payload only the beginning is kept. Pure. One thread for each scan.
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
    uint64_t flights; /* connections on which a TLS server has answered */
};

struct hostile_scan {
    bool is_upgraded;
    uint16_t status;         /* of the HTTP answer; 0: none yet */
    uint16_t close_code;     /* of the last close frame; 0: none */
    uint32_t line_end_bytes; /* bytes seen of the blank line that ends the head */
    uint32_t kept_bytes;     /* of the HTTP head, or of the frame with its header */
    uint64_t skip_bytes;     /* left of a frame that has been counted */
    uint8_t kept[HOSTILE_KEPT_BYTES];
};

/* For a new connection; the same as all zeros. */
void hostile_scan_init(struct hostile_scan *scan);
/* Takes what was read, borrowed, and adds the frames that it completes to *counts. 0; -EPROTO: no server sends this. */
int hostile_scan_take(struct hostile_scan *scan, const char *data, size_t bytes, struct hostile_counts *counts);
void hostile_counts_add(struct hostile_counts *into, const struct hostile_counts *from);
/* How many of them answer requests. */
uint64_t hostile_counts_replies(const struct hostile_counts *counts);

#endif
