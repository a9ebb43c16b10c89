/*
 * apart.h: files looked at in a process of their own. LMDB trusts its pages: where they are damaged, reading them may
 * end the process that reads; here that is a finding like others. One thread; blocks. For commands: the process that
 * asks must have no other threads.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_APART_H
#define CHITCHAT_STORAGE_DATADIR_APART_H

#include <stdbool.h>

/* What both processes see. */
struct apart {
    char path[4096]; /* what the body is reading; it says so */
    char text[4096]; /* for what the body has to say; how it ended, where it was ended */
    bool is_done;
};

int apart_open(struct apart **apart_r);
/* Nulls *apart; NULL is fine. */
void apart_close(struct apart **apart);

/* Runs the body, whose other effects on memory are lost; it ends when this process does. 0 and *code_r, what the body
 * returned, from 0 to 125; -EBADMSG: reading ended it; or -errno: it could not be run. */
int apart_run(struct apart *apart, int (*body)(struct apart *apart, void *context), void *context, int *code_r);

#endif
