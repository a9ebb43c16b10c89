#include "sim_model.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool in_timeline[2][SIM_SENDS_MAX]; /* [0]: of the sender, [1]: of the recipient; for the check in the end */

uint32_t model_send(struct sim_model *model, uint32_t from, uint32_t to, bool is_keyed, uint32_t conn)
{
    if (model->count == SIM_SENDS_MAX)
        sim_fail("too many sends for the model: run with fewer --events");
    model->sends[model->count] =
        (struct sim_send){.from = (uint8_t)from, .to = (uint8_t)to, .is_keyed = is_keyed, .conn = conn};
    return model->count++;
}

/* The number behind a letter; -1 if there is none. */
static long number_of(const char *text, char letter)
{
    char *end;
    if (text[0] != letter || !isdigit((unsigned char)text[1]))
        return -1;
    unsigned long number = strtoul(text + 1, &end, 10);
    return *end == '\0' && number < SIM_SENDS_MAX ? (long)number : -1;
}

/* Finds the texts by the marks around their numbers; a text is the last field of its record. */
void model_on_durable(struct sim_model *model, const char *data, uint64_t bytes)
{
    for (uint64_t i = 0; i + 3 < bytes; i++) {
        if (data[i] != '<' || data[i + 1] != 's')
            continue;
        char text[16] = "";
        for (uint64_t k = 0; k + 1 < sizeof text && i + 1 + k < bytes && data[i + 1 + k] != '>'; k++)
            text[k] = data[i + 1 + k];
        long number = number_of(text, 's');
        if (number >= 0 && (uint64_t)number < model->count)
            model->sends[number].is_durable = true;
    }
}

void model_text(uint32_t send, char out[SIM_TEXT_BYTES])
{
    int begun = snprintf(out, SIM_TEXT_BYTES, "<s%u>", send);
    uint32_t filling = send * 37 % 600;
    memset(out + begun, '.', filling);
    out[(uint32_t)begun + filling] = '\0';
}

uint32_t model_number(struct sim_model *model, const char *text)
{
    char bare[16] = "", wanted[SIM_TEXT_BYTES];
    const char *end = strchr(text, '>');
    if (text[0] == '<' && end != NULL && (size_t)(end - text) < sizeof bare)
        memcpy(bare, text + 1, (size_t)(end - text) - 1);
    long number = number_of(bare, 's');
    if (number >= 0)
        model_text((uint32_t)number, wanted);
    if (number < 0 || (uint64_t)number >= model->count || strcmp(text, wanted) != 0)
        sim_fail("a text that nobody sent: %s", text);
    return (uint32_t)number;
}

static void see_mid(struct sim_send *send, uint32_t number, const char *mid)
{
    if (strlen(mid) == 0 || strlen(mid) >= SIM_MID_BYTES)
        sim_fail("s%u has the mid `%s`", number, mid);
    if (send->mid[0] == '\0')
        strcpy(send->mid, mid);
    else if (strcmp(send->mid, mid) != 0)
        sim_broken(SIM_DUPLICATED, "s%u has two mids: %s and %s", number, send->mid, mid);
}

/* Two entries at one ts, or one entry at two, break the order. */
static void see_place(struct sim_model *model, uint32_t user, uint32_t number, uint64_t ts)
{
    struct sim_seen *seen = model->seen[user];
    uint32_t at = model->seen_count[user]++;
    for (; at > 0 && seen[at - 1].ts > ts; at--)
        seen[at] = seen[at - 1];
    if (at > 0 && seen[at - 1].ts == ts)
        sim_broken(SIM_REORDERED, "s%u and s%u have the same ts %llu", seen[at - 1].send, number,
                   (unsigned long long)ts);
    seen[at] = (struct sim_seen){ts, number};
}

static void see_ts(struct sim_model *model, uint32_t user, uint64_t *ts, uint64_t seen, uint32_t number)
{
    if (*ts == 0)
        see_place(model, user, number, *ts = seen);
    else if (*ts != seen)
        sim_broken(SIM_REORDERED, "s%u has moved from ts %llu to %llu", number, (unsigned long long)*ts,
                   (unsigned long long)seen);
}

void model_cut(struct sim_model *model, uint32_t user, uint64_t ts)
{
    if (ts > model->cut[user])
        model->cut[user] = ts;
}

uint64_t model_cut_maybe(const struct sim_model *model, uint32_t user)
{
    uint64_t by_age = model->retention_maybe;
    return model->cut_maybe[user] > by_age ? model->cut_maybe[user] : by_age;
}

void model_prev(struct sim_model *model, uint32_t user, uint32_t number, uint64_t prev)
{
    struct sim_send *send = &model->sends[number];
    uint64_t *seen = send->from == user ? &send->prev_from : &send->prev_to;
    uint64_t cut = model_cut_maybe(model, user); /* a frame may be older than the cut */
    bool is_cut = prev <= cut && *seen <= cut + 1;
    if (*seen != 0 && *seen != prev + 1 && !is_cut)
        sim_broken(SIM_REORDERED, "s%u once followed %llu and now %llu", number, (unsigned long long)*seen - 1,
                   (unsigned long long)prev);
    *seen = prev + 1;
}

static void see_send(struct sim_model *model, uint32_t number, uint32_t user, uint64_t ts, const char *mid)
{
    struct sim_send *send = &model->sends[number];
    if (send->outcome == SIM_REFUSED)
        sim_fail("s%u was refused and is received all the same", number);
    if (!send->is_durable)
        sim_fail("s%u is received before it is durable", number);
    see_mid(send, number, mid);
    see_ts(model, user, send->from == user ? &send->ts_from : &send->ts_to, ts, number);
    if (send->from == send->to)
        send->ts_to = send->ts_from;
}

void model_see(struct sim_model *model, uint32_t user, const char *text, const char *from, const char *to,
               const char *key, uint64_t ts, const char *mid)
{
    char wanted_key[16] = "";
    uint32_t number = model_number(model, text);
    struct sim_send *send = &model->sends[number];
    if (send->from != user && send->to != user)
        sim_fail("s%u of user %u to user %u is received by user %u", number, send->from, send->to, user);
    if ((uint32_t)atoi(from + 1) != send->from || (uint32_t)atoi(to + 1) != send->to)
        sim_fail("s%u is said to be from %s to %s", number, from, to);
    if (send->from == user && send->is_keyed)
        snprintf(wanted_key, sizeof wanted_key, "k%u", number);
    if (strcmp(key, wanted_key) != 0)
        sim_fail("s%u comes with the key `%s` instead of `%s`", number, key, wanted_key);
    see_send(model, number, user, ts, mid);
    model->entries++;
}

void model_ok(struct sim_model *model, uint32_t number, uint64_t ts, const char *mid, bool is_dup)
{
    struct sim_send *send = &model->sends[number];
    if (!is_dup && send->outcome == SIM_STORED)
        sim_broken(SIM_DUPLICATED, "s%u was stored a second time", number);
    if (!is_dup && send->mid[0] != '\0' && strcmp(send->mid, mid) != 0)
        sim_broken(SIM_DUPLICATED, "s%u was stored again though it had been received", number);
    if (is_dup && !send->was_resent)
        sim_fail("s%u is called dup and was sent once", number);
    model->acknowledged += send->outcome != SIM_STORED;
    if (send->outcome == SIM_REFUSED && !send->was_resent)
        sim_fail("s%u has two replies", number);
    send->outcome = SIM_UNKNOWN;
    see_send(model, number, send->from, ts, mid);
    send->outcome = SIM_STORED;
    model->entries++;
}

uint64_t model_newest(const struct sim_model *model, uint32_t user)
{
    uint32_t count = model->seen_count[user];
    return count == 0 ? 0 : model->seen[user][count - 1].ts;
}

static bool is_with(const struct sim_send *send, uint32_t user, uint32_t with)
{
    return with == SIM_USERS || (send->from == user ? send->to : send->from) == with;
}

void model_page(struct sim_model *model, uint32_t user, uint64_t after, uint64_t before, uint64_t known, uint32_t with,
                const uint64_t *ts, uint32_t count)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < model->seen_count[user]; i++) {
        struct sim_seen seen = model->seen[user][i];
        if (seen.ts <= model_cut_maybe(model, user) || seen.ts <= after || seen.ts >= before || seen.ts > known
            || !is_with(&model->sends[seen.send], user, with))
            continue;
        while (at < count && ts[at] < seen.ts)
            at++;
        if (at == count || ts[at] != seen.ts)
            sim_broken(SIM_LOST, "a page of user %u with %u from %llu to %llu leaves out s%u at %llu", user, with,
                       (unsigned long long)after, (unsigned long long)before, seen.send, (unsigned long long)seen.ts);
    }
}

void model_error(struct sim_model *model, uint32_t number, const char *code)
{
    struct sim_send *send = &model->sends[number];
    bool is_refused = strcmp(code, "busy") == 0 || strcmp(code, "rate_limited") == 0;
    if (!is_refused && strcmp(code, "unavailable") != 0)
        sim_fail("s%u has the error %s", number, code);
    /* A refused resend leaves the outcome of the first send unknown. */
    if (is_refused && !send->was_resent)
        send->outcome = SIM_REFUSED;
}

void model_check_timeline(struct sim_model *model, uint32_t user, const uint32_t *sends, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_send *send = &model->sends[sends[i]];
        for (int side = 0; side < 2; side++) {
            if ((side == 0 ? send->from : send->to) != user)
                continue;
            if (in_timeline[side][sends[i]])
                sim_broken(SIM_DUPLICATED, "s%u is twice in the timeline of user %u", sends[i], user);
            in_timeline[side][sends[i]] = true;
        }
    }
    /* Accepted sends of one connection, or of one group of a program, by one user to one recipient keep their order. */
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_send *one = &model->sends[sends[i]];
        for (uint32_t k = i + 1; k < count && k < i + 64; k++) {
            const struct sim_send *later = &model->sends[sends[k]];
            if (one->conn == later->conn && one->from == later->from && one->to == later->to && !one->was_resent
                && !later->was_resent && sends[k] < sends[i])
                sim_broken(SIM_REORDERED, "s%u comes before s%u, which was sent first", sends[i], sends[k]);
        }
    }
}

/* Whether the entry may be missing in the timeline of `user`. `ts` 0: nobody has received it there, so that it may be
 * gone if anything is. */
static bool may_be_gone(const struct sim_model *model, uint32_t user, uint64_t ts)
{
    uint64_t cut = model_cut_maybe(model, user);
    return cut > 0 && ts <= cut;
}

void model_check_all(struct sim_model *model)
{
    for (uint32_t i = 0; i < model->count; i++) {
        const struct sim_send *send = &model->sends[i];
        bool in_from = in_timeline[0][i], in_to = in_timeline[1][i];
        bool is_stored = send->outcome == SIM_STORED || send->ts_from != 0 || send->ts_to != 0 || in_from || in_to;
        bool lacks_from = is_stored && !in_from && !may_be_gone(model, send->from, send->ts_from);
        bool lacks_to = is_stored && !in_to && !may_be_gone(model, send->to, send->ts_to);
        if (lacks_from != lacks_to)
            sim_broken(SIM_ONE_SIDED, "s%u is in one timeline only", i);
        if (lacks_from)
            sim_broken(SIM_LOST, "s%u was %s and is lost", i,
                       send->outcome == SIM_STORED ? "acknowledged" : "received");
    }
}
