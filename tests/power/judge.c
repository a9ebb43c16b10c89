#include "judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world_double.h"

#define RESENDS 4u

/* One entry of a timeline as the server gives it. */
struct told {
    uint32_t n;
    uint64_t ts;
    uint64_t prev;
    char mid[21];
};

struct line {
    struct client *client;
    struct told *entries;
    uint32_t count;
};

struct court {
    const struct claims *claims;
    struct judgement *judgement;
    struct world *world;
    struct line lines[CLAIMS_USERS_MAX];
};

/* The first thing that is wrong is what counts. */
static _Noreturn void __attribute__((format(printf, 3, 4)))
condemn(struct court *court, enum verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(court->judgement->text, sizeof court->judgement->text, format, arguments);
    va_end(arguments);
    court->judgement->verdict = verdict;
    _exit(1);
}

static const char *name_of(const struct court *court, int user)
{
    return court->claims->users[user];
}

/* -- timelines -- */

static void check_content(struct court *court, int user, json_t *frame, const struct told *entry)
{
    char text[CLAIMS_TEXT_MAX + 1];
    const struct claims *claims = court->claims;
    if (entry->n >= claims->sent_count || !claims->sent[entry->n].is_known)
        condemn(court, VERDICT_INVENTED, "%s has message %u, which nobody sent", name_of(court, user), entry->n);
    const struct sent *sent = &claims->sent[entry->n];
    claims_text(entry->n, sent->bytes, text);
    bool has_key = sent->from == user && sent->key[0] != '\0';
    if (strcmp(frame_text(frame, "text"), text) != 0
        || strcmp(frame_text(frame, "from"), name_of(court, sent->from)) != 0
        || strcmp(frame_text(frame, "to"), name_of(court, sent->to)) != 0
        || strcmp(frame_text(frame, "key"), has_key ? sent->key : "") != 0 || (sent->from != user && sent->to != user))
        condemn(court, VERDICT_INVENTED, "%s has message %u with another text, key or name", name_of(court, user),
                entry->n);
}

static void take_entry(struct court *court, int user, json_t *frame)
{
    struct line *line = &court->lines[user];
    struct told entry = {.n = (uint32_t)strtoul(frame_text(frame, "text"), NULL, 10),
                         .ts = frame_number(frame, "ts"),
                         .prev = frame_number(frame, "prev")};
    snprintf(entry.mid, sizeof entry.mid, "%s", frame_text(frame, "mid"));
    check_content(court, user, frame, &entry);
    uint64_t before = line->count == 0 ? 0 : line->entries[line->count - 1].ts;
    if (entry.prev != before || entry.ts <= before)
        condemn(court, VERDICT_REORDERED, "%s: ts %llu with prev %llu comes after %llu", name_of(court, user),
                (unsigned long long)entry.ts, (unsigned long long)entry.prev, (unsigned long long)before);
    line->entries = realloc(line->entries, (line->count + 1) * sizeof entry);
    WORLD_MUST(line->entries != NULL);
    line->entries[line->count++] = entry;
}

static void read_timeline(struct court *court, int user)
{
    struct line *line = &court->lines[user];
    bool is_live = false;
    line->count = 0;
    line->client = client_login(court->world, 0, name_of(court, user), ",\"after\":0");
    for (json_t *frame; (frame = client_next(line->client)) != NULL; json_decref(frame)) {
        if (strcmp(frame_text(frame, "op"), "msg") == 0)
            take_entry(court, user, frame);
        is_live |= strcmp(frame_text(frame, "op"), "live") == 0;
    }
    if (!is_live)
        condemn(court, VERDICT_DIED, "the replay of %s does not come to its end", name_of(court, user));
}

/* By message number: where it stands in the timeline of each side; 0: nowhere, else the index + 1. */
static uint32_t *index_of(struct court *court, int user)
{
    const struct line *line = &court->lines[user];
    uint32_t *places = calloc(court->claims->sent_count + 1, sizeof *places);
    WORLD_MUST(places != NULL);
    for (uint32_t i = 0; i < line->count; i++) {
        uint32_t n = line->entries[i].n;
        if (places[n] != 0)
            condemn(court, VERDICT_DUPLICATED, "%s has message %u twice", name_of(court, user), n);
        places[n] = i + 1;
    }
    return places;
}

static void check_sides(struct court *court, uint32_t *const *places)
{
    const struct claims *claims = court->claims;
    for (uint32_t n = 0; n < claims->sent_count; n++) {
        const struct sent *sent = &claims->sent[n];
        if (!sent->is_known)
            continue;
        uint32_t of_sender = places[sent->from][n], of_recipient = places[sent->to][n];
        if ((of_sender == 0) != (of_recipient == 0))
            condemn(court, VERDICT_ONE_SIDED, "message %u from %s to %s is only with the %s", n,
                    name_of(court, sent->from), name_of(court, sent->to), of_sender == 0 ? "recipient" : "sender");
        if (of_sender != 0
            && strcmp(court->lines[sent->from].entries[of_sender - 1].mid,
                      court->lines[sent->to].entries[of_recipient - 1].mid)
                   != 0)
            condemn(court, VERDICT_ONE_SIDED, "message %u has two mids", n);
    }
}

/* Numbers are given in the order of sending, by one connection of each user at a time. */
static void check_order(struct court *court, int user)
{
    const struct claims *claims = court->claims;
    const struct line *line = &court->lines[user];
    uint32_t last[CLAIMS_USERS_MAX][2] = {{0}};
    for (uint32_t i = 0; i < line->count; i++) {
        uint32_t n = line->entries[i].n;
        const struct sent *sent = &claims->sent[n];
        uint32_t *newest = &last[sent->from == user ? sent->to : sent->from][sent->from == user];
        if (sent->is_again)
            continue;
        if (n < *newest)
            condemn(court, VERDICT_REORDERED, "%s has message %u after %u", name_of(court, user), n, *newest);
        *newest = n;
    }
}

static void check_claims(struct court *court, uint32_t *const *places)
{
    for (uint32_t i = 0; i < court->claims->count; i++) {
        const struct claim *claim = &court->claims->items[i];
        uint32_t place = places[claim->user][claim->n];
        if (place == 0)
            condemn(court, VERDICT_LOST, "%s has not message %u, ts %llu, which the server had told",
                    name_of(court, claim->user), claim->n, (unsigned long long)claim->ts);
        const struct told *entry = &court->lines[claim->user].entries[place - 1];
        if (entry->ts != claim->ts || strcmp(entry->mid, claim->mid) != 0
            || (claim->has_prev && entry->prev != claim->prev))
            condemn(court, VERDICT_LOST, "%s has message %u as ts %llu prev %llu mid %s, told were %llu %llu %s",
                    name_of(court, claim->user), claim->n, (unsigned long long)entry->ts,
                    (unsigned long long)entry->prev, entry->mid, (unsigned long long)claim->ts,
                    (unsigned long long)claim->prev, claim->mid);
    }
}

static void check_last(struct court *court, int user)
{
    const struct line *line = &court->lines[user];
    uint64_t newest = line->count == 0 ? 0 : line->entries[line->count - 1].ts;
    if (court->claims->last[user] > newest)
        condemn(court, VERDICT_LOST, "%s was told a last of %llu, and has only %llu", name_of(court, user),
                (unsigned long long)court->claims->last[user], (unsigned long long)newest);
}

/* -- going on -- */

/* A full memtable waits for a checkpoint, and that for a segment. */
static void make_room(struct court *court)
{
    for (uint32_t shard = 0; shard < court->world->config.shards; shard++)
        world_hold_jobs(court->world, shard, WORLD_KEEPER, false);
    world_advance(court->world, 1000000);
    world_settle(court->world);
}

static json_t *reply_to(struct client *client, const char *id)
{
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame))
        if (strcmp(frame_text(frame, "id"), id) == 0)
            return frame;
    world_fail("no reply to %s", id);
}

static json_t *resend(struct court *court, uint32_t n)
{
    char text[CLAIMS_TEXT_MAX + 1], id[16];
    const struct sent *sent = &court->claims->sent[n];
    struct client *client = court->lines[sent->from].client;
    claims_text(n, sent->bytes, text);
    snprintf(id, sizeof id, "%u/r", n);
    for (int attempt = 0; attempt < 10; attempt++) {
        client_send(client, "{\"op\":\"send\",\"id\":\"%s\",\"to\":\"%s\",\"key\":\"%s\",\"text\":\"%s\"}", id,
                    name_of(court, sent->to), sent->key, text);
        world_settle(court->world);
        json_t *frame = reply_to(client, id);
        if (strcmp(frame_text(frame, "code"), "busy") != 0)
            return frame;
        json_decref(frame);
        make_room(court);
    }
    world_fail("message %u, sent again, finds the server busy for ever", n);
}

/* What is there is a dup with its ts and mid; what is not there is stored, and then it is a dup. */
static void check_key(struct court *court, uint32_t n, uint32_t *const *places)
{
    const struct sent *sent = &court->claims->sent[n];
    const struct line *line = &court->lines[sent->from];
    uint32_t place = places[sent->from][n];
    uint64_t newest = line->count == 0 ? 0 : line->entries[line->count - 1].ts;
    json_t *first = resend(court, n);
    json_t *second = resend(court, n);
    uint64_t ts = place == 0 ? frame_number(first, "ts") : line->entries[place - 1].ts;
    if (json_is_true(json_object_get(first, "dup")) != (place != 0) || frame_number(first, "ts") != ts
        || (place == 0 && ts <= newest))
        condemn(court, VERDICT_DUPLICATED, "message %u, sent again with its key, is stored again or not at all", n);
    if (strcmp(frame_text(first, "op"), "ok") != 0 || !json_is_true(json_object_get(second, "dup"))
        || frame_number(second, "ts") != ts || strcmp(frame_text(first, "mid"), frame_text(second, "mid")) != 0)
        condemn(court, VERDICT_DUPLICATED, "message %u, sent a third time with its key, is no dup", n);
    json_decref(first);
    json_decref(second);
}

/* The last ones, where the cut was, and one of the first. */
static void check_keys(struct court *court, uint32_t *const *places)
{
    uint32_t done = 0;
    for (uint32_t n = court->claims->sent_count; n > 0 && done < RESENDS; n--)
        if (court->claims->sent[n - 1].is_known && court->claims->sent[n - 1].key[0] != '\0') {
            check_key(court, n - 1, places);
            done++;
        }
    for (uint32_t n = 0; n < court->claims->sent_count; n++)
        if (court->claims->sent[n].is_known && court->claims->sent[n].key[0] != '\0') {
            check_key(court, n, places);
            return;
        }
}

/* Without spare segments beside those that recovery makes: they would cost more than all the rest. */
static void open_world(struct court *court, const char *dir, uint32_t shards)
{
    static struct chaos calm = {.is_calm = true}; /* only so that nothing happens before the keepers are held */
    court->judgement->is_open = false;
    court->world = world_open(&(struct world_options){.shards = shards, .dir = dir, .chaos = &calm});
    court->judgement->is_open = true;
    for (uint32_t shard = 0; shard < shards; shard++)
        world_turn(court->world, shard);
    for (uint32_t shard = 0; shard < shards; shard++)
        world_hold_jobs(court->world, shard, WORLD_KEEPER, true);
    world_settle(court->world);
}

static void check_all(struct court *court, bool with_keys)
{
    int count = court->claims->user_count;
    uint32_t *places[CLAIMS_USERS_MAX];
    for (int user = 0; user < count; user++)
        read_timeline(court, user);
    for (int user = 0; user < count; user++) {
        places[user] = index_of(court, user);
        if (with_keys)
            check_order(court, user); /* not after the judge's own resends */
        check_last(court, user);
    }
    check_claims(court, places);
    check_sides(court, places);
    if (with_keys)
        check_keys(court, places);
    for (int user = 0; user < count; user++)
        free(places[user]);
}

void judge(const char *dir, const struct claims *claims, const struct judge_options *options,
           struct judgement *judgement)
{
    struct court court = {.claims = claims, .judgement = judgement};
    *judgement = (struct judgement){.verdict = VERDICT_DIED, .text = "the judge did not come to an end"};
    open_world(&court, dir, options->shards);
    check_all(&court, true);
    if (options->twice) {
        world_crash(court.world);
        open_world(&court, dir, options->shards);
        check_all(&court, false);
    }
    judgement->verdict = VERDICT_GOOD;
}
