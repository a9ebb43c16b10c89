#include "checker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness_double.h"

#define RESENDS 4u

/* One entry of a timeline as the server returns it. */
struct seen {
    uint32_t n;
    uint64_t ts;
    uint64_t prev;
    char mid[21];
};

struct line {
    struct client *client;
    uint64_t first; /* up to it the entries are gone */
    struct seen *entries;
    uint32_t count;
};

struct checker {
    const struct claims *claims;
    struct result *result;
    struct harness *harness;
    struct line lines[CLAIMS_USERS_MAX];
};

/* Ends the process: the first broken promise is the verdict. */
static _Noreturn void __attribute__((format(printf, 3, 4)))
reject(struct checker *checker, enum verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(checker->result->text, sizeof checker->result->text, format, arguments);
    va_end(arguments);
    checker->result->verdict = verdict;
    _exit(1);
}

static const char *name_of(const struct checker *checker, int user)
{
    return checker->claims->users[user];
}

/* -- timelines -- */

static void check_content(struct checker *checker, int user, json_t *frame, const struct seen *entry)
{
    char text[CLAIMS_TEXT_MAX + 1];
    const struct claims *claims = checker->claims;
    if (entry->n >= claims->sent_count || !claims->sent[entry->n].is_known)
        reject(checker, VERDICT_INVENTED, "%s has message %u, which nobody sent", name_of(checker, user), entry->n);
    const struct sent *sent = &claims->sent[entry->n];
    claims_text(entry->n, sent->bytes, text);
    bool has_key = sent->from == user && sent->key[0] != '\0';
    if (strcmp(frame_text(frame, "text"), text) != 0
        || strcmp(frame_text(frame, "from"), name_of(checker, sent->from)) != 0
        || strcmp(frame_text(frame, "to"), name_of(checker, sent->to)) != 0
        || strcmp(frame_text(frame, "key"), has_key ? sent->key : "") != 0 || (sent->from != user && sent->to != user))
        reject(checker, VERDICT_INVENTED, "%s has message %u with another text, key or name", name_of(checker, user),
               entry->n);
}

static uint64_t newest_of(const struct line *line)
{
    return line->count == 0 ? line->first : line->entries[line->count - 1].ts;
}

static void take_entry(struct checker *checker, int user, json_t *frame)
{
    struct line *line = &checker->lines[user];
    struct seen entry = {.n = (uint32_t)strtoul(frame_text(frame, "text"), NULL, 10),
                         .ts = frame_number(frame, "ts"),
                         .prev = frame_number(frame, "prev")};
    snprintf(entry.mid, sizeof entry.mid, "%s", frame_text(frame, "mid"));
    check_content(checker, user, frame, &entry);
    uint64_t before = newest_of(line);
    if (entry.prev != before || entry.ts <= before)
        reject(checker, VERDICT_REORDERED, "%s: ts %llu with prev %llu comes after %llu", name_of(checker, user),
               (unsigned long long)entry.ts, (unsigned long long)entry.prev, (unsigned long long)before);
    line->entries = realloc(line->entries, (line->count + 1) * sizeof entry);
    HARNESS_MUST(line->entries != NULL);
    line->entries[line->count++] = entry;
}

static void read_timeline(struct checker *checker, int user)
{
    struct line *line = &checker->lines[user];
    bool is_live = false;
    line->count = 0;
    line->client = client_connect(checker->harness, 0);
    client_send(line->client, "{\"op\":\"login\",\"id\":0,\"user\":\"%s\",\"after\":0}", name_of(checker, user));
    harness_run_until_idle(checker->harness);
    json_t *login = client_expect(line->client, "ok");
    line->first = frame_number(login, "first");
    json_decref(login);
    for (json_t *frame; (frame = client_next(line->client)) != NULL; json_decref(frame)) {
        if (strcmp(frame_text(frame, "op"), "msg") == 0)
            take_entry(checker, user, frame);
        is_live |= strcmp(frame_text(frame, "op"), "live") == 0;
    }
    if (!is_live)
        reject(checker, VERDICT_DIED, "the replay of %s does not end", name_of(checker, user));
}

/* For each message number its place in the timeline of `user`: the index + 1; 0: not in it. The caller frees it. */
static uint32_t *index_of(struct checker *checker, int user)
{
    const struct line *line = &checker->lines[user];
    uint32_t *places = calloc(checker->claims->sent_count + 1, sizeof *places);
    HARNESS_MUST(places != NULL);
    for (uint32_t i = 0; i < line->count; i++) {
        uint32_t n = line->entries[i].n;
        if (places[n] != 0)
            reject(checker, VERDICT_DUPLICATED, "%s has message %u twice", name_of(checker, user), n);
        places[n] = i + 1;
    }
    return places;
}

/* What was erased stays so; and nobody is erased but by an erasure that was asked for. */
static void check_first(struct checker *checker, int user)
{
    const struct claims *claims = checker->claims;
    uint64_t first = checker->lines[user].first;
    bool is_known = first == claims->first[user];
    if (first < claims->first[user])
        reject(checker, VERDICT_UNDONE, "%s is erased up to %llu, reported was %llu", name_of(checker, user),
               (unsigned long long)first, (unsigned long long)claims->first[user]);
    for (uint32_t i = 0; i < claims->erasure_count && !is_known; i++) {
        const struct erased *erasure = &claims->erasures[i];
        is_known = erasure->user == user && (erasure->first == 0 || erasure->first == first);
    }
    if (!is_known)
        reject(checker, VERDICT_LOST, "%s is erased up to %llu, which nobody asked for", name_of(checker, user),
               (unsigned long long)first);
}

/* The message may have been in the timeline before an erasure. */
static bool may_be_erased(const struct checker *checker, int user)
{
    return checker->lines[user].first > 0;
}

static void check_sides(struct checker *checker, uint32_t *const *places)
{
    const struct claims *claims = checker->claims;
    for (uint32_t n = 0; n < claims->sent_count; n++) {
        const struct sent *sent = &claims->sent[n];
        if (!sent->is_known)
            continue;
        uint32_t of_sender = places[sent->from][n], of_recipient = places[sent->to][n];
        if ((of_sender == 0 && may_be_erased(checker, sent->from))
            || (of_recipient == 0 && may_be_erased(checker, sent->to)))
            continue;
        if ((of_sender == 0) != (of_recipient == 0))
            reject(checker, VERDICT_ONE_SIDED, "message %u from %s to %s is only with the %s", n,
                   name_of(checker, sent->from), name_of(checker, sent->to), of_sender == 0 ? "recipient" : "sender");
        if (of_sender != 0
            && strcmp(checker->lines[sent->from].entries[of_sender - 1].mid,
                      checker->lines[sent->to].entries[of_recipient - 1].mid)
                   != 0)
            reject(checker, VERDICT_ONE_SIDED, "message %u has two mids", n);
    }
}

/* Message numbers rise in the order of sending: each user sends on one connection at a time. */
static void check_order(struct checker *checker, int user)
{
    const struct claims *claims = checker->claims;
    const struct line *line = &checker->lines[user];
    uint32_t last[CLAIMS_USERS_MAX][2] = {{0}};
    for (uint32_t i = 0; i < line->count; i++) {
        uint32_t n = line->entries[i].n;
        const struct sent *sent = &claims->sent[n];
        uint32_t *newest = &last[sent->from == user ? sent->to : sent->from][sent->from == user];
        if (sent->is_again)
            continue;
        if (n < *newest)
            reject(checker, VERDICT_REORDERED, "%s has message %u after %u", name_of(checker, user), n, *newest);
        *newest = n;
    }
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void check_claims(struct checker *checker, uint32_t *const *places)
{
    for (uint32_t i = 0; i < checker->claims->count; i++) {
        const struct claim *claim = &checker->claims->items[i];
        uint32_t place = places[claim->user][claim->n];
        uint64_t first = checker->lines[claim->user].first;
        if (place == 0 && claim->ts <= first)
            continue;
        if (place == 0)
            reject(checker, VERDICT_LOST, "%s lacks message %u, ts %llu, which the server had reported",
                   name_of(checker, claim->user), claim->n, (unsigned long long)claim->ts);
        const struct seen *entry = &checker->lines[claim->user].entries[place - 1];
        if (entry->ts != claim->ts || strcmp(entry->mid, claim->mid) != 0
            || (claim->has_prev && entry->prev != later(claim->prev, first)))
            reject(checker, VERDICT_LOST, "%s has message %u as ts %llu prev %llu mid %s, reported were %llu %llu %s",
                   name_of(checker, claim->user), claim->n, (unsigned long long)entry->ts,
                   (unsigned long long)entry->prev, entry->mid, (unsigned long long)claim->ts,
                   (unsigned long long)claim->prev, claim->mid);
    }
}

static void check_last(struct checker *checker, int user)
{
    const struct line *line = &checker->lines[user];
    uint64_t newest = newest_of(line);
    if (checker->claims->last[user] > newest)
        reject(checker, VERDICT_LOST, "the server reported last %llu to %s, whose newest is %llu",
               (unsigned long long)checker->claims->last[user], name_of(checker, user), (unsigned long long)newest);
}

/* -- sending again -- */

/* A full memtable waits for a checkpoint, and the checkpoint for a segment. */
static void make_room(struct checker *checker)
{
    for (uint32_t shard = 0; shard < checker->harness->config.shards; shard++)
        harness_hold_jobs(checker->harness, shard, HARNESS_RECYCLER, false);
    harness_advance(checker->harness, 1000000);
    harness_run_until_idle(checker->harness);
}

static json_t *reply_to(struct client *client, const char *id)
{
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame))
        if (strcmp(frame_text(frame, "id"), id) == 0)
            return frame;
    harness_fail("no reply to %s", id);
}

static json_t *resend(struct checker *checker, uint32_t n)
{
    char text[CLAIMS_TEXT_MAX + 1], id[16];
    const struct sent *sent = &checker->claims->sent[n];
    struct client *client = checker->lines[sent->from].client;
    claims_text(n, sent->bytes, text);
    snprintf(id, sizeof id, "%u/r", n);
    for (int attempt = 0; attempt < 10; attempt++) {
        client_send(client, "{\"op\":\"send\",\"id\":\"%s\",\"to\":\"%s\",\"key\":\"%s\",\"text\":\"%s\"}", id,
                    name_of(checker, sent->to), sent->key, text);
        harness_run_until_idle(checker->harness);
        json_t *frame = reply_to(client, id);
        if (strcmp(frame_text(frame, "code"), "busy") != 0)
            return frame;
        json_decref(frame);
        make_room(checker);
    }
    harness_fail("message %u, sent again, is answered with busy every time", n);
}

/* The ts in the sender's timeline of a message that was erased from it; 0: it was not, as far as was reported. */
static uint64_t erased_ts(const struct checker *checker, uint32_t n)
{
    int user = checker->claims->sent[n].from;
    for (uint32_t i = 0; i < checker->claims->count; i++) {
        const struct claim *claim = &checker->claims->items[i];
        if (claim->n == n && claim->user == user && claim->ts <= checker->lines[user].first)
            return claim->ts;
    }
    return 0;
}

/* A message that is in the timeline, or was before an erasure, is a dup with its ts and mid. One that is not is stored,
 * and then is a dup. */
static void check_key(struct checker *checker, uint32_t n, uint32_t *const *places)
{
    const struct sent *sent = &checker->claims->sent[n];
    const struct line *line = &checker->lines[sent->from];
    uint32_t place = places[sent->from][n];
    json_t *first = resend(checker, n);
    json_t *second = resend(checker, n);
    bool is_dup = json_is_true(json_object_get(first, "dup"));
    uint64_t ts = place != 0 ? line->entries[place - 1].ts : erased_ts(checker, n);
    bool was_stored = ts != 0 || (is_dup && frame_number(first, "ts") <= line->first);
    ts = ts != 0 ? ts : frame_number(first, "ts");
    if (is_dup != was_stored || frame_number(first, "ts") != ts || (!was_stored && ts <= newest_of(line)))
        reject(checker, VERDICT_DUPLICATED, "message %u, sent again with its key, is stored again or not at all", n);
    if (strcmp(frame_text(first, "op"), "ok") != 0 || !json_is_true(json_object_get(second, "dup"))
        || frame_number(second, "ts") != ts || strcmp(frame_text(first, "mid"), frame_text(second, "mid")) != 0)
        reject(checker, VERDICT_DUPLICATED, "message %u, sent a third time with its key, is no dup", n);
    json_decref(first);
    json_decref(second);
}

/* Of the last messages, near the cut, and the first one. */
static void check_keys(struct checker *checker, uint32_t *const *places)
{
    uint32_t done = 0;
    for (uint32_t n = checker->claims->sent_count; n > 0 && done < RESENDS; n--)
        if (checker->claims->sent[n - 1].is_known && checker->claims->sent[n - 1].key[0] != '\0') {
            check_key(checker, n - 1, places);
            done++;
        }
    for (uint32_t n = 0; n < checker->claims->sent_count; n++)
        if (checker->claims->sent[n].is_known && checker->claims->sent[n].key[0] != '\0') {
            check_key(checker, n, places);
            return;
        }
}

/* Without spare segments beside those that recovery makes: they would take more time than all the rest. */
static void open_harness(struct checker *checker, const char *dir, uint32_t shards)
{
    static struct chaos calm = {.is_calm = true}; /* nothing may happen before the recyclers are held */
    checker->result->is_open = false;
    checker->harness = harness_open(&(struct harness_options){.shards = shards, .dir = dir, .chaos = &calm});
    checker->result->is_open = true;
    for (uint32_t shard = 0; shard < shards; shard++)
        harness_turn(checker->harness, shard);
    for (uint32_t shard = 0; shard < shards; shard++)
        harness_hold_jobs(checker->harness, shard, HARNESS_RECYCLER, true);
    harness_run_until_idle(checker->harness);
}

static void check_all(struct checker *checker, bool with_keys)
{
    int count = checker->claims->user_count;
    uint32_t *places[CLAIMS_USERS_MAX];
    for (int user = 0; user < count; user++)
        read_timeline(checker, user);
    for (int user = 0; user < count; user++)
        check_first(checker, user);
    for (int user = 0; user < count; user++) {
        places[user] = index_of(checker, user);
        if (with_keys)
            check_order(checker, user); /* not after the checker's own resends */
        check_last(checker, user);
    }
    check_claims(checker, places);
    check_sides(checker, places);
    if (with_keys)
        check_keys(checker, places);
    for (int user = 0; user < count; user++)
        free(places[user]);
}

void checker_run(const char *dir, const struct claims *claims, const struct checker_options *options,
                 struct result *result)
{
    struct checker checker = {.claims = claims, .result = result};
    *result = (struct result){.verdict = VERDICT_DIED, .text = "the checker did not end"};
    open_harness(&checker, dir, options->shards);
    check_all(&checker, true);
    if (options->twice) {
        harness_crash(checker.harness);
        open_harness(&checker, dir, options->shards);
        check_all(&checker, false);
    }
    result->verdict = VERDICT_GOOD;
}
