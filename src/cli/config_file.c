#include "cli/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

/* Bytes read; CONFIG_FILE_BYTES: it is too large; or -errno. */
static ssize_t read_all(const char *path, char text[CONFIG_FILE_BYTES])
{
    size_t used = 0;
    ssize_t more = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    while (used < CONFIG_FILE_BYTES && more != 0) {
        more = read(fd, text + used, CONFIG_FILE_BYTES - used);
        if (more < 0 && errno != EINTR)
            break;
        used += more > 0 ? (size_t)more : 0;
    }
    ssize_t result = more < 0 ? -errno : (ssize_t)used;
    close(fd);
    return result;
}

static uint32_t lines_before(const char *text, const char *end)
{
    uint32_t count = 1;
    for (; text < end; text++)
        count += *text == '\n';
    return count;
}

bool config_file_read(const char *path, char text[CONFIG_FILE_BYTES], struct config_file *file_r, char *error,
                      size_t error_bytes)
{
    ssize_t bytes = read_all(path, text);
    *file_r = (struct config_file){text, 0};
    if (bytes < 0) {
        (void)snprintf(error, error_bytes, "cannot be read: %s: name a file that the user of the server may read",
                       strerror((int)-bytes));
        return false;
    }
    if (bytes == CONFIG_FILE_BYTES) {
        (void)snprintf(error, error_bytes, "is too large for a configuration: less than %u bytes are read",
                       CONFIG_FILE_BYTES);
        return false;
    }
    const char *zero = memchr(text, '\0', (size_t)bytes);
    if (zero != NULL) {
        file_r->line = lines_before(text, zero);
        (void)snprintf(error, error_bytes, "has a byte 0: a configuration is text");
        return false;
    }
    text[bytes] = '\0';
    return true;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* Without blanks at both ends; changes the text behind `end`. */
static char *trim(char *begin, char *end)
{
    while (begin < end && is_blank(*begin))
        begin++;
    while (end > begin && is_blank(end[-1]))
        end--;
    *end = '\0';
    return begin;
}

/* Divides a line that is neither blank nor a comment. */
static enum config_file_step divide(char *line, const char **name_r, const char **value_r)
{
    char *equals = strchr(line, '=');
    ASSERT(*line != '\0' && *line != '#');
    *name_r = line;
    *value_r = "needs a value: write name = value";
    if (equals == NULL)
        return CONFIG_FILE_WRONG;
    char *value = trim(equals + 1, equals + 1 + strlen(equals + 1));
    *name_r = trim(line, equals);
    if (**name_r == '\0') {
        *value_r = "needs a name before the =";
        return CONFIG_FILE_WRONG;
    }
    if (*value == '\0')
        return CONFIG_FILE_WRONG;
    if (*value == '#' || strstr(value, " #") != NULL || strstr(value, "\t#") != NULL) {
        *value_r = "has a # in its value: a comment stands on a line of its own";
        return CONFIG_FILE_WRONG;
    }
    *value_r = value;
    return CONFIG_FILE_ENTRY;
}

enum config_file_step config_file_next(struct config_file *file, const char **name_r, const char **value_r)
{
    ASSERT(file->at != NULL);
    while (*file->at != '\0') {
        size_t bytes = strcspn(file->at, "\n");
        char *line = file->at;
        file->at += bytes + (line[bytes] == '\n');
        file->line++;
        line = trim(line, line + bytes);
        if (*line != '\0' && *line != '#')
            return divide(line, name_r, value_r);
    }
    return CONFIG_FILE_END;
}
