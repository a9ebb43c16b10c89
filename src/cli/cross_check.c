#include "cli/cross_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "protocol/reply.h"

#define PARTS 65536u
/* Copies are gathered of at most so many parts, and at most so many copies: some tens of MB. */
#define PARTS_GATHERED_MAX 256u
#define COPIES_MAX 200000u
#define COMMON_BYTES_MAX (16u + LIMIT_MID_BYTES + 2u + 2u * LIMIT_USER_BYTES + LIMIT_TEXT_BYTES)

struct part {
    uint64_t sum[2];
};

/* A gathered copy. */
struct copy {
    uint8_t mid[LIMIT_MID_BYTES];
    uint8_t role;
    uint64_t hash[2];
    uint64_t ts;
    char from[LIMIT_USER_BYTES + 1];
    char to[LIMIT_USER_BYTES + 1];
};

struct cross_check {
    struct hash_key keys[2];
    struct hash_key part_key;
    uint64_t messages;
    struct part *parts;
    struct copy *copies;
    uint32_t copy_count;
    uint32_t copy_room;
    uint32_t parts_gathered;
    uint8_t gathers[PARTS]; /* 1: copies of this part are gathered */
    uint8_t common[COMMON_BYTES_MAX];
};

int cross_check_open(struct cross_check **check_r)
{
    struct cross_check *check = calloc(1, sizeof *check);
    if (check != NULL)
        check->parts = calloc(PARTS, sizeof *check->parts);
    if (check == NULL || check->parts == NULL) {
        free(check);
        return -ENOMEM;
    }
    if (getentropy(check->keys, sizeof check->keys) != 0 || getentropy(&check->part_key, sizeof check->part_key) != 0) {
        cross_check_close(&check);
        return -EIO;
    }
    *check_r = check;
    return 0;
}

void cross_check_close(struct cross_check **check)
{
    if (*check == NULL)
        return;
    free((*check)->parts);
    free((*check)->copies);
    free(*check);
    *check = NULL;
}

static uint8_t *put(uint8_t *at, struct span span)
{
    memcpy(at, span.data, span.bytes);
    return at + span.bytes;
}

/* What both copies have in common, as bytes that no other message gives. */
static struct span common_of(struct cross_check *check, const struct message *message)
{
    bool is_sent = message->role == ROLE_SENT;
    ASSERT(message->role != ROLE_SELF);
    ASSERT(message->from.bytes <= LIMIT_USER_BYTES && message->to.bytes <= LIMIT_USER_BYTES);
    ASSERT(message->text.bytes <= LIMIT_TEXT_BYTES);
    uint8_t *at = check->common;
    bytes_store_le64(at, is_sent ? message->ts : message->other_ts);
    bytes_store_le64(at + 8, is_sent ? message->other_ts : message->ts);
    at = put(at + 16, (struct span){(const char *)message->mid, LIMIT_MID_BYTES});
    *at++ = (uint8_t)message->from.bytes;
    *at++ = (uint8_t)message->to.bytes;
    at = put(put(at, message->from), message->to);
    if (message->text.bytes > 0)
        at = put(at, message->text);
    return (struct span){(const char *)check->common, (size_t)(at - check->common)};
}

static uint32_t part_of(const struct cross_check *check, const struct message *message)
{
    struct span mid = {(const char *)message->mid, LIMIT_MID_BYTES};
    return (uint32_t)(hash_siphash13(check->part_key, mid) % PARTS);
}

void cross_check_add(struct cross_check *check, const struct message *message, bool is_alone)
{
    ASSERT(check->copy_count == 0);
    check->messages += message->role != ROLE_SENT;
    if (message->role == ROLE_SELF || is_alone)
        return;
    struct span common = common_of(check, message);
    struct part *part = &check->parts[part_of(check, message)];
    for (int i = 0; i < 2; i++) {
        uint64_t hash = hash_siphash13(check->keys[i], common);
        part->sum[i] += message->role == ROLE_SENT ? hash : 0 - hash;
    }
}

uint64_t cross_check_messages(const struct cross_check *check)
{
    return check->messages;
}

static bool is_bad(const struct part *part)
{
    return part->sum[0] != 0 || part->sum[1] != 0;
}

uint32_t cross_check_bad_parts(const struct cross_check *check)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < PARTS; i++)
        count += is_bad(&check->parts[i]);
    return count;
}

bool cross_check_is_bad(const struct cross_check *check, const struct message *message)
{
    return message->role != ROLE_SELF && is_bad(&check->parts[part_of(check, message)]);
}

/* -- the second walk -- */

static bool is_wanted(struct cross_check *check, uint32_t index)
{
    if (!is_bad(&check->parts[index]))
        return false;
    if (check->gathers[index] == 0 && check->parts_gathered < PARTS_GATHERED_MAX) {
        check->gathers[index] = 1;
        check->parts_gathered++;
    }
    return check->gathers[index] != 0 && check->copy_count < COPIES_MAX;
}

static void name_copy(char out[LIMIT_USER_BYTES + 1], struct span name)
{
    ASSERT(name.bytes <= LIMIT_USER_BYTES);
    memcpy(out, name.data, name.bytes);
    out[name.bytes] = '\0';
}

int cross_check_gather(struct cross_check *check, const struct message *message)
{
    if (message->role == ROLE_SELF || !is_wanted(check, part_of(check, message)))
        return 0;
    if (check->copy_count == check->copy_room) {
        uint32_t room = check->copy_room == 0 ? 256 : check->copy_room * 2;
        struct copy *grown = realloc(check->copies, room * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        check->copies = grown;
        check->copy_room = room;
    }
    struct copy *copy = &check->copies[check->copy_count++];
    struct span common = common_of(check, message);
    *copy = (struct copy){.role = (uint8_t)message->role, .ts = message->ts};
    memcpy(copy->mid, message->mid, sizeof copy->mid);
    for (int i = 0; i < 2; i++)
        copy->hash[i] = hash_siphash13(check->keys[i], common);
    name_copy(copy->from, message->from);
    name_copy(copy->to, message->to);
    return 0;
}

static int compare_copies(const void *a, const void *b)
{
    const struct copy *x = a, *y = b;
    int order = memcmp(x->mid, y->mid, sizeof x->mid);
    return order != 0 ? order : (int)x->role - (int)y->role;
}

static void report_one_sided(const struct copy *copy, struct problems *problems)
{
    char mid[LIMIT_MID_CHARS];
    bool is_sent = copy->role == ROLE_SENT;
    reply_write_mid(mid, copy->mid);
    problems_add(problems,
                 "message %.*s from %s to %s stands in the timeline of %s at ts %" PRIu64 ", but not in that of %s",
                 (int)sizeof mid, mid, copy->from, copy->to, is_sent ? copy->from : copy->to, copy->ts,
                 is_sent ? copy->to : copy->from);
}

/* The copies of one mid. Sound: two, one of each side, and equal. */
static void report_copies(const struct copy *copies, uint32_t count, struct problems *problems)
{
    char mid[LIMIT_MID_CHARS];
    ASSERT(count > 0);
    reply_write_mid(mid, copies->mid);
    if (count == 1)
        report_one_sided(copies, problems);
    else if (count > 2 || copies[0].role == copies[1].role)
        problems_add(problems,
                     "message %.*s stands in timelines %" PRIu32 " times (one of them that of %s, at ts %" PRIu64 ")",
                     (int)sizeof mid, mid, count, copies->role == ROLE_SENT ? copies->from : copies->to, copies->ts);
    else if (copies[0].hash[0] != copies[1].hash[0] || copies[0].hash[1] != copies[1].hash[1])
        problems_add(problems,
                     "message %.*s differs between the timelines of %s (ts %" PRIu64 ") and %s (ts %" PRIu64 ")",
                     (int)sizeof mid, mid, copies[0].from, copies[0].ts, copies[1].to, copies[1].ts);
}

/* What the two users of a conversation say of one mark. */
static void report_mark(const struct copy *copies, uint32_t count, struct problems *problems)
{
    const char *seer = copies->to, *author = copies->from;
    ASSERT(count > 0);
    if (count == 1)
        problems_add(problems, "%s has seen messages of %s, as the timeline of %s says, but not as that of %s says",
                     seer, author, copies->role == ROLE_SENT ? author : seer,
                     copies->role == ROLE_SENT ? seer : author);
    else if (copies[0].hash[0] != copies[1].hash[0] || copies[0].hash[1] != copies[1].hash[1])
        problems_add(problems, "how far %s has seen the messages of %s differs between their timelines", seer, author);
}

static void report_all(struct cross_check *check, struct problems *problems,
                       void (*report)(const struct copy *copies, uint32_t count, struct problems *problems))
{
    uint32_t bad = cross_check_bad_parts(check);
    if (check->copy_count > 0)
        qsort(check->copies, check->copy_count, sizeof check->copies[0], compare_copies);
    for (uint32_t begin = 0, end; begin < check->copy_count; begin = end) {
        for (end = begin + 1; end < check->copy_count; end++)
            if (memcmp(check->copies[end].mid, check->copies[begin].mid, LIMIT_MID_BYTES) != 0)
                break;
        report(&check->copies[begin], end - begin, problems);
    }
    if (bad > check->parts_gathered)
        problems_add(problems,
                     "timelines differ in %" PRIu32 " more of the %u parts of all messages: they are not listed",
                     bad - check->parts_gathered, PARTS);
}

void cross_check_report(struct cross_check *check, struct problems *problems)
{
    report_all(check, problems, report_copies);
}

void cross_check_report_marks(struct cross_check *check, struct problems *problems)
{
    report_all(check, problems, report_mark);
}
