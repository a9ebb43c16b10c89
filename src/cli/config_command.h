/*
 * config_command.h: the commands and their options as tables (config_tables.c). config.c reads options by them,
 * config_help.c writes the help from them, config_check.c checks what depends on several options; no other file
 * includes this one. Pure.
 */
#ifndef CHITCHAT_CLI_CONFIG_COMMAND_H
#define CHITCHAT_CLI_CONFIG_COMMAND_H

#include <stdbool.h>

#include "cli/config.h"

enum option_kind {
    OPTION_LISTEN,
    OPTION_LISTEN_TLS,
    OPTION_ADMIN,
    OPTION_ADMIN_TLS,
    OPTION_DIR,
    OPTION_FILE,
    OPTION_TEXT,
    OPTION_FLAG, /* without a value on the command line; yes or no in the environment */
    OPTION_AUTH,
    OPTION_PRESENCE,
    OPTION_TOKEN_KEYS,
    OPTION_TOKEN_AUDIENCE,
    OPTION_DURATION,
    OPTION_ORIGIN,
    OPTION_HOST,
    OPTION_NETWORK,
    OPTION_NUMBER,
    OPTION_BYTES,
    OPTION_USER,
    OPTION_ANY, /* any text that is not empty */
    OPTION_LEVEL,
    OPTION_LOG_FORMAT,
    OPTION_LOG_DURABILITY,
};

struct option {
    const char *name;  /* "": the argument without a name */
    const char *value; /* the name of the value in the help */
    enum option_kind kind;
    size_t offset; /* of the field of struct config: a number of `bytes` bytes, or, with 0, a pointer to text */
    size_t bytes;
    uint64_t min;
    uint64_t max;
    uint64_t fallback;
    uint64_t step;    /* the value must be a multiple of this */
    const char *help; /* lines of the help, with \n between them */
};

struct command {
    const char *name;
    const char *usage;   /* what may follow the name */
    const char *summary; /* half a line */
    enum config_action action;
    const struct option *options;
    size_t option_count;
    const char *needed; /* the option that must be given; NULL: none */
    const char *text;   /* of its own help; NULL: the help of all commands */
};

extern const struct command config_commands[];
extern const size_t config_command_count;

/* Writes the help of `command`, or of all commands (NULL, or one without a text), cut to `text_bytes`. */
void config_write_help(const struct command *command, char *text, size_t text_bytes);

/* Takes the value of an option that takes text (OPTION_DIR, _FILE, _USER, _ANY, _TEXT, _TOKEN_AUDIENCE) into its field;
 * the last kind copies it. Returns what is wrong with the value, static; NULL: the field has it. */
const char *config_take_text(struct config *config, const struct option *option, const char *given);
/* An error is one line, whatever the arguments hold: control characters become question marks. */
void config_make_one_line(char *text);

bool config_is_repeatable(const struct option *option);
/* Drops the earlier values of a repeatable option. */
void config_forget(struct config *config, const struct option *option);
/* Adds an address to listen on, if none was given. */
void config_complete(struct config *config);

/* Options of a command that do not fit each other: false, and the error, as config_parse writes it. */
bool config_check(const struct config *config, enum config_action action, char *text, size_t text_bytes);

#endif
