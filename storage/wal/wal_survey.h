/*
 * wal_survey.h: what the files of one WAL are: which segment is the newest, which others are live, where each ends; and
 * what is damage, which no crash leaves. Only reads files; blocks. For recovery, for commands that read a data
 * directory without a server, and for a backup, which reads a WAL that may be written meanwhile. One thread.
 *
 * The newest segment and the segments that its header names are live. A missing one is damage, unless all of it is in
 * the runs. So is a missing file to which the manifest assigned a generation above the newest header (wal_assigned.h):
 * nothing tells whether that segment was used. So are two files with the generation of a live segment.
 */
#ifndef CHITCHAT_STORAGE_WAL_WAL_SURVEY_H
#define CHITCHAT_STORAGE_WAL_WAL_SURVEY_H

#include <limits.h>

#include "storage/wal/wal.h"

#define WAL_SURVEY_ADVICE "restore the data directory from a backup; nothing was changed"

struct wal_file {
    uint32_t number; /* in its name */
    bool has_header; /* else a spare, or a torn first write: generation, bytes and end_bytes are 0 */
    bool is_live;
    uint64_t generation;
    uint64_t bytes;     /* the size of the file */
    uint64_t end_bytes; /* the sealed length; 0: the newest header has none. After wal_survey_scan: the end of the last
                           whole batch */
};

struct wal_survey {
    char dir[PATH_MAX];
    uint32_t shard;
    struct store_position applied; /* wal_survey_read */
    struct wal_file *files;        /* ascending by generation; owned */
    uint32_t file_count;
    struct wal_header newest;   /* generation 0: there is none */
    uint32_t reading;           /* the number of the file that was read last */
    uint64_t generation_last;   /* wal_survey_read: the newest one of headers and the applied position */
    uint64_t generation_given;  /* and of `assigned`: no file can have a newer one, also by a write that still comes */
    char error[PATH_MAX + 512]; /* the last error: file, offset, what is wrong, and what to do */
};

/* Reads the headers of the WAL of `shard` in `dir` (copied), and decides which files are live and which are damaged.
 * `applied` and `assigned` (borrowed) are what the manifest has; all below `applied` is in the runs. 0, or -errno and
 * survey->error. The caller calls wal_survey_fini in both cases. */
int wal_survey_read(struct wal_survey *survey, const char *dir, uint32_t shard, struct store_position applied,
                    const struct wal_assigned *assigned);
/* Only the first part: `files` with number, has_header, generation and bytes, and `newest`. Returns as wal_survey_read.
 */
int wal_survey_headers(struct wal_survey *survey, const char *dir, uint32_t shard);
void wal_survey_fini(struct wal_survey *survey);

/* Whether `file` is the newest segment. */
bool wal_survey_is_newest(const struct wal_survey *survey, const struct wal_file *file);

/* Scans a live file (wal_scan) and checks its end. 0, and file->end_bytes is set; what `visit` returned, and
 * survey->error is empty; or -errno and survey->error. *scan_r is not set if the file cannot be read. */
int wal_survey_scan(struct wal_survey *survey, struct wal_file *file,
                    int (*visit)(void *context, const struct record_fields *fields), void *context,
                    struct wal_scan *scan_r);

/* The same for a segment that the caller has mapped or read: `bytes` at `data`. Sets *scan_r in all cases. */
int wal_survey_scan_map(struct wal_survey *survey, struct wal_file *file, const void *data, uint64_t bytes,
                        int (*visit)(void *context, const struct record_fields *fields), void *context,
                        struct wal_scan *scan_r);

#endif
