/*
 * config_value.h: the values of options, read strictly from text. Pure; any thread.
 */
#ifndef CHITCHAT_CLI_CONFIG_VALUE_H
#define CHITCHAT_CLI_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/config.h"

/* A whole decimal number without sign; with `has_suffix` K, M or G may follow (powers of 1024). False: `text` is
 * something else, or past 64 bits. */
bool config_value_number(const char *text, bool has_suffix, uint64_t *value_r);

#define CONFIG_VALUE_WANTED_BYTES 120u
/* A time as 90, 90s, 15m, 12h or 30d, in seconds. False: `text` is something else, or past 64 bits. */
bool config_value_duration(const char *text, uint64_t *seconds_r);
/* The same from `min` to `max`. False: `wanted` says what it must be. */
bool config_value_duration_within(const char *text, uint64_t min, uint64_t max, uint64_t *seconds_r,
                                  char wanted[CONFIG_VALUE_WANTED_BYTES]);

/* Writes `value`; if `has_suffix`, with the largest suffix that leaves a whole number. */
void config_value_write(uint64_t value, bool has_suffix, char out[24]);

/* 1.2.3.4:80 or [::1]:80, port 0 to 65535 (0: the kernel chooses). False: `text` is something else. */
bool config_value_listen(const char *text, struct config_listen *listen_r);

/* What origin.h takes as a pattern, shorter than CONFIG_ORIGIN_BYTES; *origin_r borrows `text`. False: `text` is
 * something else. */
bool config_value_origin(const char *text, struct origin *origin_r);

/* HOST or HOST:PORT, port 1 to 65535; *host_r borrows `text`. False: `text` is something else. */
bool config_value_host(const char *text, struct host *host_r);

/* 127.0.0.0/8, ::1, or the first as an IPv6 address: only this machine reaches it. */
bool config_value_is_loopback(const struct config_listen *listen);

/* An IPv4 address in the form of IPv6, ::ffff:127.0.0.1. No IPv6 socket can be bound to it. */
bool config_value_is_mapped(const struct config_listen *listen);

/* The cores that the process may run on, from 1 to CONFIG_SHARDS_MAX. */
uint32_t config_value_cores(void);

/* The value of the variable `name`; NULL if it is not set, or empty. Borrowed from `environment`, NULL-terminated, or
 * NULL. */
const char *config_value_environment(char *const *environment, const char *name);

#endif
