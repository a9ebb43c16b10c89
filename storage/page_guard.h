/*
 * page_guard.h: reads of mapped files whose pages the disk may fail to read. The kernel reports such a page (a bad
 * sector, a file that was cut short) as SIGBUS, which would end the process and every connection. Under a guard it ends
 * one call: page_guard_run returns -EIO, as read(2) would.
 *
 * The guarded function ends at the access that failed, without any cleanup: it must hold no lock, and own nothing that
 * its caller cannot free. So guards are around reads: LMDB read transactions, which are then aborted; a run that is
 * being written, which is then removed; the WAL at start. One more is around manifest commits: if one ends so, the
 * manifest is in doubt (manifest.h). Guards may be nested. Any thread.
 *
 * The signal handler needs the guard of the thread that it runs on: this is the only thread-local of the project.
 */
#ifndef CHITCHAT_STORAGE_PAGE_GUARD_H
#define CHITCHAT_STORAGE_PAGE_GUARD_H

/* Installs the handler of SIGBUS for the whole process. Outside a guard SIGBUS still ends the process. 0 or -errno. */
int page_guard_install(void);

/* Returns what body(context) returns, or -EIO if it accessed a page that cannot be read. */
int page_guard_run(int (*body)(void *context), void *context);

#endif
