/* backup_wal.c: copies a WAL, which a server may write meanwhile, up to its last whole batch. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/offline/backup_private.h"

/* A segment that is read while it is written may look damaged; a later read does not. */
#define TRIES 50
#define TRY_AGAIN_MS 20

static void wait_a_moment(void)
{
    const struct timespec moment = {.tv_nsec = TRY_AGAIN_MS * 1000000L};
    nanosleep(&moment, NULL);
}

/* Surveys the WAL, again while it looks damaged: only its headers, or all of it with what the manifest has (`state`).
 * 0, or -errno and the error; wal_survey_fini in both cases. */
static int survey_wal(struct backup *backup, const struct backup_shard *shard, const struct manifest_state *state,
                      struct wal_survey *survey)
{
    int status = -EBADMSG;
    for (int i = 0; i < TRIES && status != 0; i++) {
        if (i > 0) {
            wal_survey_fini(survey);
            wait_a_moment();
        }
        status = state == NULL
                     ? wal_survey_headers(survey, shard->from_wal, shard->index)
                     : wal_survey_read(survey, shard->from_wal, shard->index, state->marks.applied, &state->assigned);
    }
    return status == 0 ? 0 : backup_refuse(backup->error, status, "%s", survey->error);
}

int backup_note_wal(struct backup *backup, struct backup_shard *shard)
{
    struct wal_survey survey;
    ASSERT(shard->runs == NULL);
    int status = survey_wal(backup, shard, NULL, &survey);
    const struct wal_header *newest = &survey.newest;
    shard->generation_low = newest->sealed_count > 0 ? newest->sealed[0].generation : newest->generation;
    wal_survey_fini(&survey);
    return status;
}

/* -- one segment -- */

struct segment_copy {
    char *data;
    uint64_t bytes;
};

static int read_whole(const char *path, struct segment_copy *copy, uint64_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = 0;
    for (copy->bytes = 0; copy->bytes < bytes && status == 0;) {
        ssize_t got = pread(fd, copy->data + copy->bytes, bytes - copy->bytes, (off_t)copy->bytes);
        /* Under the backup lock no segment becomes shorter. */
        status = got < 0 ? -errno : got == 0 ? -ENODATA : 0;
        copy->bytes += got > 0 ? (uint64_t)got : 0;
    }
    close(fd);
    return status;
}

static int ignore_record(void *context, const struct record_fields *fields)
{
    (void)context;
    (void)fields;
    return 0;
}

/* Reads the segment, again if need be, until wal_survey_scan_map finds no damage in it. */
static int read_segment(struct backup *backup, struct wal_survey *survey, struct wal_file *file, const char *path,
                        struct segment_copy *copy)
{
    struct wal_file read = *file;
    struct wal_scan scan;
    int status = 0;
    ASSERT(file->has_header);
    copy->data = malloc(file->bytes + 1);
    if (copy->data == NULL)
        return backup_refuse(backup->error, -ENOMEM, "no memory for a segment of the WAL");
    for (int i = 0; i < TRIES; i++) {
        if (i > 0)
            wait_a_moment();
        read.end_bytes = file->end_bytes;
        status = read_whole(path, copy, file->bytes);
        if (status != 0)
            return backup_refuse(backup->error, status, "%s cannot be read: %s", path, strerror(-status));
        status = wal_survey_scan_map(survey, &read, copy->data, copy->bytes, ignore_record, NULL, &scan);
        if (status == 0)
            break;
    }
    if (status != 0)
        return backup_refuse(backup->error, status, "%s", survey->error);
    file->end_bytes = read.end_bytes;
    return 0;
}

static int copy_segment(struct backup *backup, struct backup_shard *shard, struct wal_survey *survey,
                        struct wal_file *file)
{
    char from[RUN_PATH_BYTES + 32], to[RUN_PATH_BYTES + 32];
    struct segment_copy copy = {NULL, 0};
    snprintf(from, sizeof from, "%s/segment-%06u.wal", shard->from_wal, file->number);
    snprintf(to, sizeof to, "%s/segment-%06u.wal", shard->to_wal, file->number);
    int status = read_segment(backup, survey, file, from, &copy);
    if (status == 0 && file->end_bytes > WAL_BLOCK_BYTES) {
        status = copy_bytes(copy.data, file->end_bytes, to, &backup->report->files);
        if (status != 0)
            backup_refuse_copy(backup->error, &backup->report->files, status, from, to);
        backup->report->segments++;
    }
    free(copy.data);
    return status;
}

/* -- the end of the WAL -- */

/* Writes a segment that has only a header, with the end of each copied segment; the copied manifest names this one as
 * the newest. */
static int write_end(struct backup *backup, struct backup_shard *shard, const struct wal_survey *survey,
                     struct wal_header *header)
{
    char to[RUN_PATH_BYTES + 32];
    unsigned char block[WAL_BLOCK_BYTES];
    uint32_t number = 1;
    for (uint32_t i = 0; i < survey->file_count; i++)
        if (survey->files[i].number >= number)
            number = survey->files[i].number + 1;
    header->shard = shard->index;
    header->previous = survey->generation_last;
    header->generation = survey->generation_last + 1;
    header->file_bytes = WAL_BLOCK_BYTES;
    wal_header_encode(header, block);
    shard->state.assigned.count = 0;
    wal_assigned_add(&shard->state.assigned, header->generation, number);
    snprintf(to, sizeof to, "%s/segment-%06u.wal", shard->to_wal, number);
    int status = copy_bytes(block, sizeof block, to, &backup->report->files);
    if (status == 0)
        status = segment_sync_dir(shard->to_wal);
    return status == 0 ? 0 : backup_refuse_copy(backup->error, &backup->report->files, status, NULL, to);
}

/* Segments from generation_low to the newest one of the survey. Later ones are left out. */
static bool is_wanted(const struct backup_shard *shard, const struct wal_survey *survey, const struct wal_file *file)
{
    return file->has_header && file->generation >= shard->generation_low
           && survey->newest.generation >= shard->state.marks.applied.generation;
}

static int copy_segments(struct backup *backup, struct backup_shard *shard, struct wal_survey *survey)
{
    struct wal_header header = {.sealed_count = 0};
    int status = 0;
    for (uint32_t i = 0; i < survey->file_count && status == 0; i++) {
        struct wal_file *file = &survey->files[i];
        if (!is_wanted(shard, survey, file))
            continue;
        status = copy_segment(backup, shard, survey, file);
        if (status != 0 || file->end_bytes <= WAL_BLOCK_BYTES)
            continue;
        if (header.sealed_count == WAL_LIVE_SEGMENTS_MAX)
            return backup_refuse(backup->error, -E2BIG,
                                 "%s has more than %u segments: make the backup again when a checkpoint has been "
                                 "written",
                                 shard->from_wal, WAL_LIVE_SEGMENTS_MAX);
        header.sealed[header.sealed_count].generation = file->generation;
        header.sealed[header.sealed_count++].bytes = file->end_bytes;
    }
    return status == 0 ? write_end(backup, shard, survey, &header) : status;
}

int backup_copy_wal(struct backup *backup, struct backup_shard *shard)
{
    struct wal_survey survey;
    ASSERT(shard->runs != NULL);
    int status = survey_wal(backup, shard, &shard->state, &survey);
    if (status == 0)
        status = copy_segments(backup, shard, &survey);
    wal_survey_fini(&survey);
    return status;
}
