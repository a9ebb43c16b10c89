/*
 * exposition.h: reads metrics in the text format of Prometheus, as the server writes them (server/metrics_text.h).
 * Pure.
 */
#ifndef CHITCHAT_CLI_EXPOSITION_H
#define CHITCHAT_CLI_EXPOSITION_H

#include <stdint.h>

#include "base/span.h"

struct exposition_sample {
    struct span name;
    struct span labels; /* without the braces */
    double value;
};

struct exposition {
    struct exposition_sample *samples; /* owned */
    uint32_t count;
};

/* Which samples of a name are meant: those that have all of these labels. */
struct exposition_match {
    const char *shard; /* the value of the label `shard`; NULL: of all shards */
    const char *label; /* NULL: none */
    const char *value;
};
#define EXPOSITION_ALL ((struct exposition_match){.shard = NULL})

/* Reads `text`, which *exposition_r borrows until exposition_close. 0; -EBADMSG: a line is no sample and no comment;
 * -ENOMEM. The caller closes *exposition_r in either case. */
int exposition_parse(struct exposition *exposition_r, struct span text);
void exposition_close(struct exposition *exposition);

/* The sum of the samples that match; 0 if there is none. */
double exposition_sum(const struct exposition *exposition, const char *name, struct exposition_match match);
/* The value of label `label` of a sample; no bytes: it has no such label. Borrows the text. */
struct span exposition_label(const struct exposition_sample *sample, const char *label);

/* The least bound of a bucket of the histogram `name` that `part` (0 to 1, asserted) of the values do not exceed, of
 * those that came between `before` and `after`; `before` may be empty. Below 0: no value came. Infinite: above the last
 * bound. */
double exposition_quantile(const struct exposition *before, const struct exposition *after, const char *name,
                           struct exposition_match match, double part);

#endif
