#include "storage/wal/wal_survey.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "storage/wal/segment.h"

static int __attribute__((format(printf, 3, 4))) refuse(struct wal_survey *survey, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(survey->error, sizeof survey->error, format, arguments);
    va_end(arguments);
    return code;
}

static int refuse_file(struct wal_survey *survey, uint32_t number, uint64_t offset, const char *what)
{
    return refuse(survey, -EBADMSG, "%s/segment-%06u.wal at offset %" PRIu64 ": %s: " WAL_SURVEY_ADVICE, survey->dir,
                  number, offset, what);
}

static int refuse_unread(struct wal_survey *survey, uint32_t number, int status)
{
    return refuse(survey, status, "%s/segment-%06u.wal cannot be read: %s", survey->dir, number, strerror(-status));
}

static int survey_file(struct wal_survey *survey, struct wal_file *file)
{
    struct segment_map map;
    struct wal_header header;
    survey->reading = file->number;
    int status = segment_map(survey->dir, file->number, &map);
    if (status != 0)
        return refuse_unread(survey, file->number, status);
    uint64_t bytes = map.bytes;
    status = bytes < WAL_BLOCK_BYTES ? -ENODATA : wal_header_decode(map.data, &header);
    bool is_damaged = bytes < WAL_BLOCK_BYTES || wal_header_is_damaged(map.data);
    segment_unmap(&map);
    if (is_damaged)
        return refuse_file(survey, file->number, 0,
                           bytes < WAL_BLOCK_BYTES ? "the file was cut short" : "its header is damaged");
    if (status == -EPROTO)
        return refuse(
            survey, -EPROTO,
            "%s/segment-%06u.wal was written by another version of chitchat: start that version; nothing was changed",
            survey->dir, file->number);
    file->has_header = status == 0;
    if (status != 0)
        return 0;
    if (header.shard != survey->shard)
        return refuse_file(survey, file->number, 0, "the segment belongs to another shard");
    file->generation = header.generation;
    file->bytes = bytes;
    if (header.generation > survey->newest.generation)
        survey->newest = header;
    return 0;
}

static struct wal_file *file_of_generation(struct wal_survey *survey, uint64_t generation)
{
    for (uint32_t i = 0; i < survey->file_count; i++)
        if (survey->files[i].has_header && survey->files[i].generation == generation)
            return &survey->files[i];
    return NULL;
}

static bool is_applied(const struct wal_survey *survey, uint64_t generation, uint64_t bytes)
{
    return generation < survey->applied.generation
           || (generation == survey->applied.generation && bytes <= survey->applied.bytes);
}

/* Marks the newest segment and those that its header names. */
static int mark_live(struct wal_survey *survey)
{
    const struct wal_header *newest = &survey->newest;
    survey->generation_last =
        newest->generation > survey->applied.generation ? newest->generation : survey->applied.generation;
    if (newest->generation == 0 || newest->generation < survey->applied.generation)
        return 0;
    struct wal_file *own = file_of_generation(survey, newest->generation);
    own->is_live = true;
    if (own->bytes < newest->file_bytes)
        return refuse_file(survey, own->number, own->bytes, "the newest segment was cut short");
    for (uint32_t i = 0; i < newest->sealed_count; i++) {
        struct wal_file *file = file_of_generation(survey, newest->sealed[i].generation);
        if (file != NULL) {
            file->is_live = true;
            file->end_bytes = newest->sealed[i].bytes;
        } else if (!is_applied(survey, newest->sealed[i].generation, newest->sealed[i].bytes)) {
            return refuse(survey, -EBADMSG, "%s: the segment of generation %" PRIu64 " is missing: " WAL_SURVEY_ADVICE,
                          survey->dir, newest->sealed[i].generation);
        }
    }
    return 0;
}

static const struct wal_file *file_of_number(const struct wal_survey *survey, uint64_t number)
{
    for (uint32_t i = 0; i < survey->file_count; i++)
        if (survey->files[i].number == number)
            return &survey->files[i];
    return NULL;
}

/* A file to which a generation above the newest header is assigned is a spare, so it exists and has no header. Below
 * the applied position no segment is needed. */
static int check_assigned(struct wal_survey *survey, const struct wal_assigned *assigned)
{
    for (uint32_t i = 0; i < assigned->count; i++) {
        uint64_t generation = assigned->segments[i].generation;
        const struct wal_file *file = file_of_number(survey, assigned->segments[i].file);
        if (generation <= survey->newest.generation || generation < survey->applied.generation
            || assigned->segments[i].file == WAL_ASSIGNED_NO_FILE)
            continue;
        if (file == NULL || file->has_header)
            return refuse(survey, -EBADMSG,
                          "%s/segment-%06" PRIu64 ".wal %s: the manifest says that it was made for generation %" PRIu64
                          ", and it may have acknowledged messages: put the file back, or " WAL_SURVEY_ADVICE,
                          survey->dir, assigned->segments[i].file,
                          file == NULL ? "is missing" : "is an older segment now", generation);
    }
    return 0;
}

/* `files` ascend by generation. */
static int check_twins(struct wal_survey *survey)
{
    for (uint32_t i = 1; i < survey->file_count; i++) {
        const struct wal_file *a = &survey->files[i - 1], *b = &survey->files[i];
        if (a->has_header && a->generation == b->generation && (a->is_live || b->is_live))
            return refuse(survey, -EBADMSG,
                          "%s: segment-%06u.wal and segment-%06u.wal both have generation %" PRIu64
                          ", which no crash leaves: " WAL_SURVEY_ADVICE,
                          survey->dir, a->number, b->number, a->generation);
    }
    return 0;
}

/* A file without a header must be a spare or a torn first write: it must not have been the newest segment. */
static int check_strays(struct wal_survey *survey)
{
    for (uint32_t i = 0; i < survey->file_count; i++) {
        struct segment_map map;
        struct wal_stray stray;
        survey->reading = survey->files[i].number;
        if (survey->files[i].has_header)
            continue;
        int status = segment_map(survey->dir, survey->files[i].number, &map);
        if (status != 0)
            return refuse_unread(survey, survey->files[i].number, status);
        wal_scan_stray(map.data, map.bytes, &stray);
        segment_unmap(&map);
        if (stray.generation > survey->generation_last && stray.last_bytes > WAL_BLOCK_BYTES)
            return refuse_file(survey, survey->files[i].number, 0, "the header of the newest segment is lost");
    }
    return 0;
}

static int compare_files(const void *a, const void *b)
{
    const struct wal_file *x = a, *y = b;
    return x->generation < y->generation ? -1 : x->generation > y->generation;
}

int wal_survey_headers(struct wal_survey *survey, const char *dir, uint32_t shard)
{
    uint32_t *numbers = NULL;
    *survey = (struct wal_survey){.shard = shard};
    ASSERT(strlen(dir) < sizeof survey->dir);
    memcpy(survey->dir, dir, strlen(dir) + 1);
    int status = segment_list(survey->dir, &numbers, &survey->file_count);
    if (status != 0)
        return refuse(survey, status, "%s cannot be read: %s", survey->dir, strerror(-status));
    survey->files = calloc(survey->file_count + 1, sizeof *survey->files);
    ASSERT(survey->files != NULL);
    for (uint32_t i = 0; i < survey->file_count && status == 0; i++) {
        survey->files[i].number = numbers[i];
        status = survey_file(survey, &survey->files[i]);
    }
    free(numbers);
    qsort(survey->files, survey->file_count, sizeof *survey->files, compare_files);
    return status;
}

int wal_survey_read(struct wal_survey *survey, const char *dir, uint32_t shard, struct store_position applied,
                    const struct wal_assigned *assigned)
{
    int status = wal_survey_headers(survey, dir, shard);
    survey->applied = applied;
    if (status == 0)
        status = mark_live(survey);
    if (status == 0)
        status = check_twins(survey);
    if (status == 0)
        status = check_assigned(survey, assigned);
    survey->generation_given = wal_assigned_generation_last(assigned);
    if (survey->generation_given < survey->generation_last)
        survey->generation_given = survey->generation_last;
    return status == 0 ? check_strays(survey) : status;
}

void wal_survey_fini(struct wal_survey *survey)
{
    free(survey->files);
    survey->files = NULL;
    survey->file_count = 0;
}

bool wal_survey_is_newest(const struct wal_survey *survey, const struct wal_file *file)
{
    return file->generation == survey->newest.generation;
}

static int check(struct wal_survey *survey, struct wal_file *file, const struct wal_scan *scan)
{
    if (scan->end == WAL_END_DAMAGE)
        return refuse_file(survey, file->number, scan->damage_bytes, "a batch is damaged, and whole ones follow it");
    if (!wal_survey_is_newest(survey, file) && scan->end_bytes < file->end_bytes)
        return refuse_file(survey, file->number, scan->end_bytes, "a finished segment is damaged");
    if (file->generation == survey->applied.generation && scan->end_bytes < survey->applied.bytes)
        return refuse_file(survey, file->number, scan->end_bytes,
                           "the WAL ends before the position up to which the runs have it");
    file->end_bytes = scan->end_bytes;
    return 0;
}

int wal_survey_scan_map(struct wal_survey *survey, struct wal_file *file, const void *data, uint64_t bytes,
                        int (*visit)(void *context, const struct record_fields *fields), void *context,
                        struct wal_scan *scan_r)
{
    bool is_open = wal_survey_is_newest(survey, file) || file->end_bytes == 0 || file->end_bytes > bytes;
    survey->error[0] = '\0';
    int status = wal_scan(data, bytes, file->generation, is_open ? bytes : file->end_bytes, visit, context, scan_r);
    if (status == -EBADMSG)
        return refuse_file(survey, file->number, scan_r->end_bytes, "a record is damaged");
    return status == 0 ? check(survey, file, scan_r) : status;
}

int wal_survey_scan(struct wal_survey *survey, struct wal_file *file,
                    int (*visit)(void *context, const struct record_fields *fields), void *context,
                    struct wal_scan *scan_r)
{
    struct segment_map map;
    survey->reading = file->number;
    int status = segment_map(survey->dir, file->number, &map);
    if (status != 0)
        return refuse_unread(survey, file->number, status);
    status = wal_survey_scan_map(survey, file, map.data, map.bytes, visit, context, scan_r);
    segment_unmap(&map);
    return status;
}
