/*
 * datadir_meta.h: the text of META and of BACKUP. Pure; any thread.
 *
 *     chitchat-data 3
 *     version 0.1.0        of the program that wrote this format first; format 1 has no such line
 *     shards 2
 *     epoch 9f1c…          32 digits
 *     name_seed …          32 digits: k0, then k1
 *     key_seed …
 *     cluster chat         of a node of a cluster: its name; no such line in another directory
 *     crc32c …             8 digits: of all lines before
 *
 * The first two lines have their places in every format to come, so that a program that does not know the format can
 * name the version that does.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_DATADIR_META_H
#define CHITCHAT_STORAGE_DATADIR_DATADIR_META_H

#include <stdbool.h>

#include "base/hash.h"
#include "storage/datadir/datadir.h"

#define DATADIR_META_BYTES 256u
/* Of a version's text, with its NUL. */
#define DATADIR_VERSION_BYTES 32u
/* Of a cluster's name, with its NUL. */
#define DATADIR_CLUSTER_BYTES 33u

struct datadir_meta {
    uint32_t format;
    char version[DATADIR_VERSION_BYTES]; /* "": format 1, or a later one whose line cannot be read */
    uint32_t shards;
    char epoch[DATADIR_EPOCH_CHARS + 1];
    struct hash_key name_seed;
    struct hash_key key_seed;
    char cluster[DATADIR_CLUSTER_BYTES]; /* "": of no cluster */
};

/* Writes the text of META to `out`. Returns its bytes. */
size_t datadir_meta_write(const struct datadir_meta *meta, char out[DATADIR_META_BYTES]);

#define DATADIR_BACKUP_BYTES (DATADIR_META_BYTES + 64u)
/* Writes the text of BACKUP to `out`: a line that says when the backup was made (`wall_us`), then the text of META.
 * Returns its bytes. */
size_t datadir_backup_write(const struct datadir_meta *meta, uint64_t wall_us, char out[DATADIR_BACKUP_BYTES]);
/* Takes the first line off the text of BACKUP. False: the line is not of this version. */
bool datadir_backup_skip(struct span *text);

/* Sets format and version to those that this program writes. */
void datadir_meta_set_format(struct datadir_meta *meta);

#define DATADIR_READER_BYTES (DATADIR_VERSION_BYTES + 64u)
/* Writes which program reads the format of `meta`, which this one does not read: "chitchat 8.1.0 or a later one". */
void datadir_meta_reader(const struct datadir_meta *meta, char out[DATADIR_READER_BYTES]);

/* Reads the text of META, of the formats DATADIR_FORMAT_MIN to DATADIR_FORMAT. 0; -EPROTO: another format, which is
 * meta_r->format, with meta_r->version; -EBADMSG: any other text. */
int datadir_meta_read(struct span text, struct datadir_meta *meta_r);

#endif
