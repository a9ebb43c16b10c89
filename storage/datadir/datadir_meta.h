/*
 * datadir_meta.h: the text of META and of BACKUP. Pure; any thread.
 *
 *     chitchat-data 1
 *     shards 2
 *     epoch 9f1c…          32 digits
 *     name_seed …          32 digits: k0, then k1
 *     key_seed …
 *     crc32c …             8 digits: of all lines before
 */
#ifndef CHITCHAT_STORAGE_DATADIR_DATADIR_META_H
#define CHITCHAT_STORAGE_DATADIR_DATADIR_META_H

#include <stdbool.h>

#include "base/hash.h"
#include "storage/datadir/datadir.h"

#define DATADIR_META_BYTES 256u

struct datadir_meta {
    uint32_t format;
    uint32_t shards;
    char epoch[DATADIR_EPOCH_CHARS + 1];
    struct hash_key name_seed;
    struct hash_key key_seed;
};

/* Writes the text of META to `out`. Returns its bytes. */
size_t datadir_meta_write(const struct datadir_meta *meta, char out[DATADIR_META_BYTES]);

#define DATADIR_BACKUP_BYTES (DATADIR_META_BYTES + 64u)
/* Writes the text of BACKUP to `out`: a line that says when the backup was made (`wall_us`), then the text of META.
 * Returns its bytes. */
size_t datadir_backup_write(const struct datadir_meta *meta, uint64_t wall_us, char out[DATADIR_BACKUP_BYTES]);
/* Takes the first line off the text of BACKUP. False: the line is not of this version. */
bool datadir_backup_skip(struct span *text);

/* Reads the text of META. 0; -EPROTO: another format, which is meta_r->format; -EBADMSG: any other text. */
int datadir_meta_read(struct span text, struct datadir_meta *meta_r);

#endif
