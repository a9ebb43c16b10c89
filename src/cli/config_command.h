/*
 * config_command.h: the commands and their options as tables, for config.c, which reads them, and config_help.c, which
 * tells of them. Nobody else includes it. Pure.
 */
#ifndef CHITCHAT_CLI_CONFIG_COMMAND_H
#define CHITCHAT_CLI_CONFIG_COMMAND_H

#include <stdbool.h>

#include "cli/config.h"

enum option_kind {
    OPTION_LISTEN,
    OPTION_DIR,
    OPTION_ORIGIN,
    OPTION_HOST,
    OPTION_NUMBER,
    OPTION_BYTES,
    OPTION_USER,
    OPTION_LEVEL,
};

struct option {
    const char *name;
    const char *value; /* what stands for the value in the help */
    enum option_kind kind;
    size_t offset; /* of the field of struct config: a number of `bytes` bytes, or, with 0, a pointer to text */
    size_t bytes;
    uint64_t min;
    uint64_t max;
    uint64_t fallback;
    uint64_t step;    /* a multiple of it only */
    const char *help; /* a line of the help; \n begins another one */
};

struct command {
    const char *name;
    const char *usage;   /* what may follow it */
    const char *summary; /* in half a line */
    enum config_action action;
    const struct option *options;
    size_t option_count;
    const char *needed; /* the option that must be given; NULL: none */
    const char *text;   /* of its own help; NULL: the help of all */
};

extern const struct command config_commands[];
extern const size_t config_command_count;

/* Writes the help of `command`, or of all (NULL, or one without a text). What is longer than `text_bytes` is cut. */
void config_write_help(const struct command *command, char *text, size_t text_bytes);

#endif
