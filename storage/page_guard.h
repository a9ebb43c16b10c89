/*
 * page_guard.h: reads of mapped files that the disk may refuse. A page that cannot be read (a bad sector, a file cut
 * short under us) comes as SIGBUS, which would end the process and every connection with it. Under a guard it ends one
 * call: page_guard_run gives -EIO, as read(2) would have.
 *
 * What the guarded function had in hand when the page failed is left as it stood: it must hold no lock, and own nothing
 * that its caller cannot give back. So guards stand around reads: of LMDB's read transactions, which are then dropped,
 * of a run that is being written, which is thrown away, of the log at start. Guards may be nested. Any thread.
 *
 * The handler must know where to go back to on the thread that was hit: that is the one thread-local of this project.
 */
#ifndef CHITCHAT_STORAGE_PAGE_GUARD_H
#define CHITCHAT_STORAGE_PAGE_GUARD_H

/* Takes SIGBUS over for the whole process; outside of a guard it still ends it. 0 or -errno. */
int page_guard_install(void);

/* What body(context) returns, or -EIO if it came upon a page that cannot be read. */
int page_guard_run(int (*body)(void *context), void *context);

#endif
