/* said.h: what a function writes to stderr, as text. Included by tests of the load generator alone. */
#ifndef CHITCHAT_TESTS_BENCH_SAID_H
#define CHITCHAT_TESTS_BENCH_SAID_H

#include <stdio.h>
#include <unistd.h>

struct said {
    FILE *file;
    int stderr_before;
};

/* From here on stderr is a file of its own. */
static inline struct said said_begin(void)
{
    struct said said = {tmpfile(), dup(STDERR_FILENO)};
    dup2(fileno(said.file), STDERR_FILENO);
    return said;
}

/* Gives stderr back; up to `room` - 1 bytes of what was written go to `out`, with a NUL. Returns `out`. */
static inline const char *said_end(struct said said, char *out, size_t room)
{
    dup2(said.stderr_before, STDERR_FILENO);
    close(said.stderr_before);
    rewind(said.file);
    out[fread(out, 1, room - 1, said.file)] = '\0';
    fclose(said.file);
    return out;
}

#endif
