#include "cli/client_token.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool find_line(FILE *opened, char out[CLIENT_TOKEN_BYTES])
{
    char line[CLIENT_TOKEN_BYTES + 2];
    while (fgets(line, sizeof line, opened) != NULL) {
        size_t bytes = strcspn(line, " \t\r\n");
        if (bytes == 0 || line[0] == '#')
            continue;
        if (bytes >= CLIENT_TOKEN_BYTES)
            return false;
        memcpy(out, line, bytes);
        out[bytes] = '\0';
        return true;
    }
    return false;
}

bool client_token_read(const char *file, char out[CLIENT_TOKEN_BYTES], char *why, size_t room)
{
    FILE *opened = fopen(file, "re");
    if (opened == NULL) {
        (void)snprintf(why, room, "--token-file %s cannot be read: %s", file, strerror(errno));
        return false;
    }
    bool is_found = find_line(opened, out);
    if (!is_found)
        (void)snprintf(why, room, "--token-file %s has no token: its first line must be one, of at most 8192 bytes",
                       file);
    (void)fclose(opened);
    return is_found;
}
