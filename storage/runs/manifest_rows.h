/*
 * manifest_rows.h: the rows of a manifest (manifest.h): "marks", "wal-files", one for each run and one for each cut. A
 * value has a CRC32C, a word and numbers, little endian. Only for manifest.c. Borrows all arguments. A result is
 * LMDB's, but for manifest_rows_take.
 */
#ifndef CHITCHAT_STORAGE_RUNS_MANIFEST_ROWS_H
#define CHITCHAT_STORAGE_RUNS_MANIFEST_ROWS_H

#include <lmdb.h>

#include "storage/runs/manifest.h"

int manifest_rows_put_marks(MDB_txn *txn, MDB_dbi dbi, const struct manifest_marks *marks);
int manifest_rows_put_assigned(MDB_txn *txn, MDB_dbi dbi, const struct wal_assigned *assigned);
/* A run of this number must not be there. */
int manifest_rows_put_run(MDB_txn *txn, MDB_dbi dbi, const struct run_entry *entry);
int manifest_rows_delete_run(MDB_txn *txn, MDB_dbi dbi, uint64_t id);
int manifest_rows_put_cut(MDB_txn *txn, MDB_dbi dbi, const struct cut *cut);
/* No row: 0. */
int manifest_rows_delete_cut(MDB_txn *txn, MDB_dbi dbi, const struct cut *cut);

/* Reads all rows into `state`, which is empty. 0 or -errno (-EBADMSG: damage). The caller calls manifest_state_fini. */
int manifest_rows_take(MDB_cursor *cursor, struct manifest_state *state);

#endif
