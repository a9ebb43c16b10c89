/*
 * login.h: a login on the shard of its user: registers the connection at once, finds out `last`, answers. Entries that
 * leave the timeline while `last` is read count too: it is the greater of what was read and what was released since.
 * Shard's thread.
 */
#ifndef CHITCHAT_OPERATIONS_LOGIN_H
#define CHITCHAT_OPERATIONS_LOGIN_H

struct conn;
struct core;

/* `conn` is open, its `login` says what was asked, and its user is this shard's. */
void login_begin(struct core *core, struct conn *conn);

#endif
