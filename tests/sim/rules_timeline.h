/* rules_timeline.h: what the rule tests of timelines that are cut have in common. Included by them alone. */
#ifndef CHITCHAT_TESTS_SIM_RULES_TIMELINE_H
#define CHITCHAT_TESTS_SIM_RULES_TIMELINE_H

#include "harness.h"

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */

static inline void send_text(struct client *client, const char *to, const char *text)
{
    client_send(client, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"%s\",\"key\":\"%s to %s\"}", to, text, text,
                to);
}

/* Sends and takes the `ok` off; its ts. */
static inline uint64_t say(struct harness *harness, struct client *client, const char *to, const char *text)
{
    send_text(client, to, text);
    harness_run_until_idle(harness);
    json_t *frame = client_expect(client, "ok");
    uint64_t ts = frame_number(frame, "ts");
    json_decref(frame);
    return ts;
}

static inline void want_round(struct harness *harness)
{
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness);
}

/* Logs in after `after`; the field of the reply, which is taken off. */
static inline uint64_t login_field(struct harness *harness, uint32_t shard, const char *user, const char *field)
{
    struct client *client = client_connect(harness, shard);
    client_send(client, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\"}", user);
    harness_run_until_idle(harness);
    json_t *frame = client_expect(client, "ok");
    uint64_t value = frame_number(frame, field);
    json_decref(frame);
    client_drop(client);
    harness_run_until_idle(harness);
    return value;
}

static inline const char *texts_of(struct harness *harness, uint32_t shard, const char *user)
{
    return history_texts(client_login(harness, shard, user, ""), "");
}

#endif
