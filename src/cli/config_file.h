/*
 * config_file.h: the file of --config: one `name = value` a line, where names are those of the options without `--`.
 * Blanks around both do not count. A line that begins with # is a comment; a value has none. Main's thread.
 */
#ifndef CHITCHAT_CLI_CONFIG_FILE_H
#define CHITCHAT_CLI_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest file, and a NUL. */
#define CONFIG_FILE_BYTES (64u << 10)

/* The lines that are left. */
struct config_file {
    char *at;
    uint32_t line; /* of the last entry, from 1 */
};

enum config_file_step {
    CONFIG_FILE_ENTRY,
    CONFIG_FILE_WRONG,
    CONFIG_FILE_END,
};

/* Reads the file `path` into `text`, and *file_r before its first line, which borrows it. False: `error` has what is
 * wrong and what to do, without the path; if that is a line, file_r->line is its number, else 0. */
bool config_file_read(const char *path, char text[CONFIG_FILE_BYTES], struct config_file *file_r, char *error,
                      size_t error_bytes);

/* CONFIG_FILE_ENTRY: the next entry; its name and value, which is not empty, are in the text of the file, which this
 * changes. CONFIG_FILE_WRONG: *name_r is the start of the line, and *value_r says what is wrong with it; static. */
enum config_file_step config_file_next(struct config_file *file, const char **name_r, const char **value_r);

#endif
