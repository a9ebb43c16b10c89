/*
 * reload.h: files that are read again while the server runs. A module that has such files registers a function. Main's
 * thread calls all of them on SIGHUP, and about once a second, so that a changed file is noticed without a signal. The
 * functions may read files and block; no shard waits for them. SIGHUP never ends the server.
 */
#ifndef CHITCHAT_SERVER_RELOAD_H
#define CHITCHAT_SERVER_RELOAD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum reload_cause {
    RELOAD_ASKED, /* SIGHUP: reads the files, changed or not */
    RELOAD_LOOK,  /* about a second has passed: reads those that have changed */
};

typedef void (*reload_function)(void *context, enum reload_cause cause);

#define RELOADS_MAX 8u

/* Zeros: no function is registered. Main's thread. */
struct reloads {
    struct {
        reload_function function;
        void *context;    /* borrowed */
        bool reads_files; /* else it is for RELOAD_LOOK alone */
    } entries[RELOADS_MAX];
    uint32_t count;
};

/* Registers `function`. RELOADS_MAX at most: asserted. */
void reload_add(struct reloads *reloads, reload_function function, void *context);
/* The same for a function that reads no files of the operator: it is called about once a second, not on SIGHUP. */
void reload_add_look(struct reloads *reloads, reload_function function, void *context);

/* The same without waiting, for a server that does something else meanwhile: once a second. SIGHUP is blocked. */
void reload_poll(const struct reloads *reloads);
/* Waits for SIGTERM or SIGINT among `signals` (signals_block), and returns its number. Reloads until then, and notes
 * other signals. Without a registered function there is no wakeup but for signals. */
int reload_until_signal(const struct reloads *reloads, const sigset_t *signals);

#endif
