/*
 * apart.h: runs a function in a child process. LMDB trusts its pages, so a read of damaged ones may end the process; in
 * a child that is a result like others. One thread; blocks. For commands: the process must have no other threads.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_APART_H
#define CHITCHAT_STORAGE_DATADIR_APART_H

#include <stdbool.h>

/* Memory that both processes share. */
struct apart {
    char path[4096]; /* the body sets it to what it reads */
    char text[4096]; /* for the body's result; after -EBADMSG how the child ended */
    bool is_done;    /* the body returned */
};

/* Maps the shared memory, all zeros. 0 or -errno; the caller closes *apart_r. */
int apart_open(struct apart **apart_r);
/* Nulls *apart; NULL is fine. */
void apart_close(struct apart **apart);

/* Calls `body` in a child process, which ends when this process does. Of the body's writes to memory only those to
 * `apart` are kept. 0, and *code_r is what the body returned (0 to 125); -EBADMSG: the child crashed before the body
 * returned; -EINTR: a signal from outside ended it; or -errno: no child could be made. */
int apart_run(struct apart *apart, int (*body)(struct apart *apart, void *context), void *context, int *code_r);

#endif
