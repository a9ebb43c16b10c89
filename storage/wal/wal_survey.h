/*
 * wal_survey.h: what the files of one log are: which is the newest segment, which others are live, where each ends; and
 * what about them is damage rather than the work of a crash. Only reads; blocks. For recovery, and for whoever looks at
 * a log at rest. One thread.
 *
 * The newest header and the segments that it names are live; a missing one is damage, unless the runs hold all of it.
 */
#ifndef CHITCHAT_STORAGE_WAL_WAL_SURVEY_H
#define CHITCHAT_STORAGE_WAL_WAL_SURVEY_H

#include <limits.h>

#include "storage/wal/wal.h"

#define WAL_SURVEY_ADVICE "restore the data directory from a backup; nothing was changed"

struct wal_file {
    uint32_t number;
    bool has_header;
    bool is_live;
    uint64_t generation;
    uint64_t bytes;     /* of the file */
    uint64_t end_bytes; /* the sealed length, or 0 where the newest header tells none; wal_survey_scan: where the last
                           whole batch ends */
};

struct wal_survey {
    char dir[PATH_MAX];
    uint32_t shard;
    struct store_position applied;
    struct wal_file *files; /* ascending by generation; owned */
    uint32_t file_count;
    struct wal_header newest;   /* generation 0: there is none */
    uint32_t reading;           /* the file that was looked into last */
    uint64_t generation_last;   /* ever used, as far as headers and runs know */
    char error[PATH_MAX + 512]; /* the last refusal: file, offset, what is wrong and what to do */
};

/* Looks at the log of `shard` in `dir` (both copied), of which the runs hold all below `applied`. 0, or -errno and
 * survey->error. wal_survey_fini in either case. */
int wal_survey_read(struct wal_survey *survey, const char *dir, uint32_t shard, struct store_position applied);
/* Only the first part of it: files, with has_header, generation and bytes, and the newest header. */
int wal_survey_headers(struct wal_survey *survey, const char *dir, uint32_t shard);
void wal_survey_fini(struct wal_survey *survey);

bool wal_survey_is_newest(const struct wal_survey *survey, const struct wal_file *file);

/* Goes over a live file, `visit` as wal_scan has it, and judges how it ends. 0; what `visit` said, with an empty
 * survey->error; or -errno and survey->error. Sets file->end_bytes if 0. */
int wal_survey_scan(struct wal_survey *survey, struct wal_file *file,
                    int (*visit)(void *context, const struct record_fields *fields), void *context,
                    struct wal_scan *scan_r);

/* The same over a segment that the caller has mapped (or read). */
int wal_survey_scan_map(struct wal_survey *survey, struct wal_file *file, const void *data, uint64_t bytes,
                        int (*visit)(void *context, const struct record_fields *fields), void *context,
                        struct wal_scan *scan_r);

#endif
