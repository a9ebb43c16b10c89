/*
 * check.h: `chitchat serve --check`: all that a start would check, without serving and without a change to anything:
 * the kernel, the data directory with its format, manifests, runs and WAL, keys, certificates, the log file, addresses,
 * with --cluster the log servers, open files, memory. A server may run on the same data directory: then its addresses
 * may be in use, and what it has read is not read again. Main's thread.
 */
#ifndef CHITCHAT_SERVER_CHECK_H
#define CHITCHAT_SERVER_CHECK_H

#include "cli/config.h"

/* Writes one line to stdout and returns 0, or one to stderr and returns 2. Warnings come before it, on stderr. */
int serve_check(struct config *config);

#endif
