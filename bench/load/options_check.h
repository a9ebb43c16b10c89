/*
 * load_options_check.h: what one option of chitchat-load asks of another, and the defaults that follow from others.
 * Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_OPTIONS_CHECK_H
#define CHITCHAT_BENCH_LOAD_OPTIONS_CHECK_H

#include "load/options.h"

/* Completes the options. False, told on stderr, if they do not go together: one that would change nothing is refused,
 * for who gave it expects that it does. */
bool load_options_check(struct load_options *options);

#endif
