/* rules_seen.h: what the rule tests of marks have in common. Included by them alone. */
#ifndef CHITCHAT_TESTS_SIM_RULES_SEEN_H
#define CHITCHAT_TESTS_SIM_RULES_SEEN_H

#include "harness.h"

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */
#define TS_MAX ((unsigned long long)LIMIT_TS_MAX)

static inline void want_round(struct harness *harness)
{
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness);
}

/* Sends, and takes the `ok` off; its ts. */
static inline uint64_t say(struct harness *harness, struct client *client, const char *to)
{
    client_send(client, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"hello\"}", to);
    harness_run_until_idle(harness);
    json_t *frame = client_expect(client, "ok");
    uint64_t ts = frame_number(frame, "ts");
    json_decref(frame);
    return ts;
}

static inline void ask(struct client *client, const char *with, unsigned long long ts)
{
    client_send(client, "{\"op\":\"seen\",\"id\":2,\"with\":\"%s\",\"ts\":%llu}", with, ts);
}

/* Takes all frames off; how many have `op`. */
static inline uint32_t count_frames(struct client *client, const char *op)
{
    uint32_t count = 0;
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame))
        count += json_object_get(frame, "op") != NULL && strcmp(frame_text(frame, "op"), op) == 0;
    return count;
}

/* Takes frames off until the `msg` that is the `n`th; its ts. */
static inline uint64_t message_ts(struct client *client)
{
    json_t *frame = client_expect(client, "msg");
    uint64_t ts = frame_number(frame, "ts");
    json_decref(frame);
    return ts;
}

/* The field of the conversation of `user` with `peer`, as the user's newest peers say; LIMIT_TS_MAX: there is none. */
static inline uint64_t peers_field(struct harness *harness, uint32_t shard, const char *user, const char *peer,
                                   const char *field)
{
    struct client *client = client_login(harness, shard, user, "");
    client_send(client, "{\"op\":\"peers\",\"id\":7}");
    harness_run_until_idle(harness);
    json_t *frame = client_expect(client, "peers");
    uint64_t value = LIMIT_TS_MAX;
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(frame, "peers"), index, each)
    {
        if (strcmp(frame_text(each, "user"), peer) == 0)
            value = frame_number(each, field);
    }
    json_decref(frame);
    client_drop(client);
    harness_run_until_idle(harness);
    return value;
}

struct talk {
    struct harness *harness;
    const char *alice; /* on shard 0 */
    const char *bob;   /* on shard 1 */
    struct client *a;
    struct client *other; /* alice's too */
    struct client *b;
};

static inline struct talk talk_open(const struct harness_options *options)
{
    struct talk talk = {.harness = harness_open(options)};
    talk.alice = harness_name(talk.harness, 0, 0);
    talk.bob = harness_name(talk.harness, 1, 0);
    talk.a = client_login(talk.harness, 0, talk.alice, "");
    talk.other = client_login(talk.harness, 0, talk.alice, "");
    talk.b = client_login(talk.harness, 1, talk.bob, "");
    return talk;
}

/* A message from bob, with its ts in his timeline; its ts in alice's. */
static inline uint64_t hear_said(struct talk *talk, uint64_t *said_r)
{
    *said_r = say(talk->harness, talk->b, talk->alice);
    message_ts(talk->other);
    return message_ts(talk->a);
}

static inline uint64_t hear(struct talk *talk)
{
    uint64_t said;
    return hear_said(talk, &said);
}

#endif
