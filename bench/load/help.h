/*
 * help.h: what `chitchat-load --help` prints. The man page shows it too, and bash completes the options in it.
 */
#ifndef CHITCHAT_BENCH_LOAD_HELP_H
#define CHITCHAT_BENCH_LOAD_HELP_H

#include <stdio.h>

/* Borrows the file. */
void load_help_print(FILE *out);

#endif
