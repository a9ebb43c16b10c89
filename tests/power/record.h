/* record.h: what the two halves of the recorder share. Any thread; one lock, one trace. */
#ifndef CHITCHAT_TESTS_POWER_RECORD_H
#define CHITCHAT_TESTS_POWER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "trace.h"

/* Whether the process is being recorded at all. */
bool record_is_on(void);
/* Appends one record with its data_bytes set. Keeps errno. */
void record_put(struct trace_record record, const struct iovec *data, int count);
uint64_t record_id(void);
/* The node of a file below the root, 0: another descriptor; and whether it is O_DSYNC. */
uint64_t record_node(int fd, bool *is_sync_r);
/* A write that is about to be issued; returns its id. */
uint64_t record_write(uint64_t node, bool is_sync, uint64_t offset, const struct iovec *data, int count);
void record_written(uint64_t id, int64_t result);
/* Ends the process: the server did something to a recorded file that disk.c cannot replay. */
_Noreturn void record_unknown(const char *what);
void *record_real(const char *name);

#endif
