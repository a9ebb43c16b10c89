/* main.c: parses the command line and runs the command. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/config.h"
#include "server/check.h"
#include "server/serve.h"

extern char **environ;

/* Parsing options takes 200 KiB of it. */
#define STACK_BYTES (512u << 10)
#define THREAD_STACK_BYTES (1u << 20)

/* A file of the store must not get the number of a standard descriptor that the parent closed: log lines would be
 * written into it. Opening takes the lowest number that is free. Writes to it fail, as to a closed descriptor. */
static void open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* Threads get the stack that the limit of the process allows: at least this. */
static void raise_thread_stacks(void)
{
    pthread_attr_t attributes;
    size_t bytes;
    if (pthread_getattr_default_np(&attributes) != 0)
        return;
    if (pthread_attr_getstacksize(&attributes, &bytes) == 0 && bytes < THREAD_STACK_BYTES
        && pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES) == 0)
        (void)pthread_setattr_default_np(&attributes);
    (void)pthread_attr_destroy(&attributes);
}

/* A stack that overflows ends the process without a line. */
static bool has_stack(void)
{
    struct rlimit limit;
    raise_thread_stacks();
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= STACK_BYTES)
        return true;
    limit.rlim_cur = limit.rlim_max < STACK_BYTES ? limit.rlim_max : STACK_BYTES;
    if (setrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= STACK_BYTES)
        return true;
    (void)fprintf(stderr,
                  "chitchat: the limit of the stack is %" PRIu64 " bytes, and %u are needed: raise it (ulimit -s, "
                  "LimitSTACK=)\n",
                  (uint64_t)limit.rlim_cur, STACK_BYTES);
    return false;
}

/* Has a frame of its own, since that of main must fit a small stack. */
static int __attribute__((noinline)) run(int argc, char **argv)
{
    struct config config;
    char text[CONFIG_TEXT_BYTES];
    switch (config_parse(argc, argv, environ, &config, text, sizeof text)) {
    case CONFIG_SERVE: return config.checks_only != 0 ? serve_check(&config) : serve(&config, argv);
    case CONFIG_VERIFY: return command_verify(&config);
    case CONFIG_DUMP: return command_dump(&config);
    case CONFIG_COMPACT: return command_compact(&config);
    case CONFIG_BACKUP: return command_backup(&config);
    case CONFIG_RESTORE: return command_restore(&config);
    case CONFIG_RESHARD: return command_reshard(&config);
    case CONFIG_IMPORT: return command_import(&config);
    case CONFIG_TOKEN: return command_token(&config);
    case CONFIG_STATUS: return command_status(&config);
    case CONFIG_CHAT: return command_chat(&config);
    case CONFIG_SEND: return command_send(&config);
    case CONFIG_HISTORY: return command_history(&config);
    case CONFIG_CLUSTER: return command_cluster(&config);
    case CONFIG_HELP:
    case CONFIG_VERSION: fputs(text, stdout); return 0;
    case CONFIG_ERROR: break;
    }
    fprintf(stderr, "%s\n", text);
    return 2;
}

int main(int argc, char **argv)
{
    open_standard_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a write past the limit of file size fails, and its error is reported */
    return has_stack() ? run(argc, argv) : 1;
}
