/*
 * options_check.h: checks that the options of chitchat-load go together, and sets the defaults that follow from other
 * options. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_OPTIONS_CHECK_H
#define CHITCHAT_BENCH_LOAD_OPTIONS_CHECK_H

#include "load/options.h"

/* Completes the options. False, with a line on stderr, if they do not go together. An option that would change nothing
 * is refused too: whoever gives it expects an effect. */
bool load_options_check(struct load_options *options);

#endif
